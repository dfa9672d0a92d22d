"""Keys that a model's code does not read, but that speak of rotation all the same.

Published configurations are full of them. One that says what holds anyway is let pass; one that
says otherwise, or is but a misspelling, is refused; and one that nobody knows is passed over, with
a word about it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

_BASE = re.compile(r"(theta|base|base_freq|freq_base)$")
_FRACTION = re.compile(r"(pct|percent|percentage|fraction|partial\w*factor)$")
_ORDER = re.compile(r"interleaved?$")
_WIDTH = re.compile(r"^(attn_)?(rotary|rope)_(emb|dim|ndims)$")
_FACTOR = re.compile(r"(ratio|factor|scale|alpha|mscale|scaling)$")
_TYPE = re.compile(r"type$")
_SCALING = re.compile(r"ntk|yarn|logn|mrope")
_SWITCH = re.compile(r"^(use_)?(rope|rotary)(_emb|_embeddings?|_pos_emb)?$")


def look_alike(key: str, known: Iterable[str]) -> str | None:
    """The known key that ``key`` seems to mean, or None."""
    known = sorted(known)
    near = difflib.get_close_matches(key.lower(), known, n=1, cutoff=0.8)
    starts = [name for name in known if len(key) > 3 and name.startswith(key)]
    return next(iter(near or starts), None)


def contradicts(key: str, value: Any, arguments: Mapping) -> str | None:
    """What a key says that is not so, in words; None where it agrees, or its name tells nothing.

    ``arguments`` are those of the rotation that was read, with its ``kind`` of scaling.
    """
    if _SWITCH.match(key):
        return "says that nothing rotates" if value is False else None
    expected = _expected(key, arguments)
    if expected is None or _stands_for_nothing(key, value) or _is_one_of(value, expected[0]):
        return None
    return f"does not agree with the {expected[1]} that its code takes"


def is_claim(key: str) -> bool:
    """Whether a key's name says what it is about."""
    patterns = (_BASE, _FRACTION, _ORDER, _WIDTH, _FACTOR, _TYPE, _SCALING, _SWITCH)
    return any(pattern.search(key) for pattern in patterns)


def _stands_for_nothing(key: str, value: Any) -> bool:
    empty = value is None or (isinstance(value, str | list | dict | tuple) and not value)
    return empty or (value is False and not _ORDER.search(key))


def _expected(key: str, arguments: Mapping) -> tuple[tuple, str] | None:
    """What a key may say, and in words; None where its name does not tell."""
    base, width, kind = (arguments[name] for name in ("base", "rotary_dim", "kind"))
    share, pairing = width / arguments["head_dim"], arguments["pairing"]
    meanings = (
        (_BASE, (base,), f"base {base:g}"),
        (_WIDTH, (width, True, "rope", "rotary"), f"width {width}"),
        (_ORDER, (pairing == "interleaved",), f"pairing {pairing!r}"),
        (_FRACTION, (share,), f"share {share:g}"),
        (_TYPE, (kind, "default", "rope", "rotary"), f"type {kind!r}"),
        (_FACTOR, (1,), "factor 1"),
        (_SCALING, (), f"scaling {kind!r}"),
    )
    return next((meaning[1:] for meaning in meanings if meaning[0].search(key)), None)


def _is_one_of(value: Any, allowed: tuple) -> bool:
    """Whether a value is allowed; a switch is no number."""
    for each in allowed:
        numbers = [x for x in (value, each) if isinstance(x, Real) and not isinstance(x, bool)]
        if len(numbers) == 2:
            if abs(value) < 1e300 and abs(value - each) <= 1e-9 * abs(each):
                return True
        elif type(value) is type(each) and value == each:
            return True
    return False
