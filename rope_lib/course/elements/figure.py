"""What all moving figures are on the Python side: one element, its script, a still picture."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from numbers import Integral
from typing import Any
from urllib.parse import quote

MINUS = "\u2212"


@dataclass(frozen=True)
class MovingFigure:
    """What a notebook shows: one custom element that carries its own script.

    Args:
        name: ``"clock"`` means the element ``<rope-clock>`` and the script ``elements/clock.js``.
        config: what the script needs, numbers and words, as JSON can hold them.
        picture: an SVG that stands in where scripts do not run; an opaque background keeps it
            readable on dark pages.
        description: the picture's text alternative.
        readout: the line of numbers below it.
    """

    name: str
    config: dict
    picture: str
    description: str
    readout: str

    def _repr_html_(self) -> str:
        config = json.dumps(self.config, ensure_ascii=False, separators=(",", ":"))
        # An <img>, since JupyterLab strips <svg> from untrusted outputs.
        source = "data:image/svg+xml," + quote(self.picture, safe="/:=,'()")
        return (
            f'<rope-{self.name} data-config="{html.escape(config)}">'
            f'<img alt="{html.escape(self.description)}" style="max-width:100%" src="{source}">'
            f"<p>{html.escape(self.readout)}</p></rope-{self.name}>\n"
            f"<script>\n{self.script()}</script>"
        )

    def __repr__(self) -> str:
        return f"<{self.name}: {self.readout}>"

    def script(self) -> str:
        """What all share, then the element. Each output carries both: in Colab each is a page."""
        folder = files("rope_lib.course.elements")
        return "".join(folder.joinpath(f"{n}.js").read_text("utf-8") for n in ("figure", self.name))


def svg(width: int, height: int, drawn: str, more: str = "") -> str:
    """A picture on white; ``more`` are attributes that all of ``drawn`` inherits."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' fill='none' font-family='sans-serif' font-size='13' "
        f"{more}>"
        f"<path fill='#fff' d='M0 0h{width}v{height}H0z'/>{drawn}</svg>"
    )


def label(x: float, y: float, text: str, more: str = "") -> str:
    return f"<text x='{x:g}' y='{y:g}' fill='#000' {more}>{html.escape(text)}</text>"


def line(points: Sequence[tuple[float, float]]) -> str:
    """The ``d`` of a path through the points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def fill(template: str, numbers: Mapping[str, Any]) -> str:
    for name, number in numbers.items():
        template = template.replace(f"{{{name}}}", str(number))
    return template


def fixed(number: float, digits: int) -> str:
    """As the scripts write it: halves away from zero, a real minus sign, none before a zero."""
    rounded = Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded + 0:f}".replace("-", MINUS)


def require_place(name: str, value: int, largest: int, called: str) -> int:
    """Return ``value`` if it is an integer from 0 to ``largest``, which the message calls so."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    if not 0 <= value <= largest:
        raise ValueError(f"{name} must lie between 0 and {called} = {largest}, got {value}")
    return int(value)


def require_known(name: str, value: Any, known: Sequence) -> Any:
    """Return ``value`` if it is one of ``known``."""
    if not any(value is each or value == each for each in known):
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}; got {value!r}")
    return value


def require_words(given: Mapping[str, str] | None, default: dict[str, str]) -> dict[str, str]:
    """Return the default words with the given ones in their place."""
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise TypeError(f"words must map names to texts, got {given!r}")
    for name, text in given.items():
        if name not in default:
            raise ValueError(f"words may hold {', '.join(default)}; got {name!r}")
        if not isinstance(text, str):
            raise TypeError(f"words[{name!r}] must be a text, got {text!r}")
    return {**default, **given}
