"""What all moving figures are on the Python side: one element, its script, a still picture."""

import functools
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib.resources import files
from numbers import Integral
from typing import Any
from urllib.parse import quote

MINUS = "\u2212"
GREY, BLUE, RED, GREEN, ORANGE = "#6E6E6E", "#0072B2", "#D55E00", "#009E73", "#E69F00"
WIDTH = 400  # of a still picture: no wider than a phone can show with readable letters

# What every figure says; each adds its own words.
COMMON = {"reset": "Reset", "about": "Legend"}


@dataclass(frozen=True)
class MovingFigure:
    """What a notebook shows: one custom element that carries its own script.

    Args:
        name: ``"clock"`` means the element ``<rope-clock>`` and the script ``elements/clock.js``.
        config: what the script needs, numbers and words, as JSON can hold them. ``words`` has at
            least ``title``, ``about``, ``means`` (a line for each word, ``word: meaning``) and
            ``reset``.
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
        words = self.config["words"]
        config = self.config | {"zh": in_chinese(words)}
        config = json.dumps(config, ensure_ascii=False, separators=(",", ":"))
        means = "".join(f"<p>{html.escape(each)}</p>" for each in words["means"].split("\n"))
        # An <img>, since JupyterLab strips <svg> from untrusted outputs.
        source = "data:image/svg+xml," + quote(self.picture, safe=" /:=,;'()")
        return (
            f'<rope-{self.name} data-config="{html.escape(config)}">'
            f"<p><b>{html.escape(words['title'])}</b></p>"
            f'<img alt="{html.escape(self.description)}" style="max-width:100%" src="{source}">'
            f"<p>{html.escape(self.readout)}</p>"
            f"<details><summary>{html.escape(words['about'])}</summary>{means}</details>"
            f"</rope-{self.name}>\n<script>\n{self.script()}</script>"
        )

    def __repr__(self) -> str:
        return f"<{self.name}: {self.readout}>"

    def script(self) -> str:
        """What all share, then the element. Each output carries both: in Colab each is a page.

        Comments and the spaces before each line stay in the files.
        """
        folder = files("rope_lib.course.elements")
        text = "".join(folder.joinpath(f"{n}.js").read_text("utf-8") for n in ("figure", self.name))
        return re.sub(r"^\s*(//.*\n)?", "", text, flags=re.MULTILINE)


def in_chinese(words: Mapping[str, str]) -> dict[str, str]:
    """Those of the words that have a translation: a script shows them on a Chinese page."""
    known = _chinese()
    return {name: known[text] for name, text in words.items() if text in known}


@functools.cache
def _chinese() -> dict[str, str]:
    path = files("rope_lib.course.elements").joinpath("zh.json")
    return json.loads(path.read_text("utf-8"))


def svg(height: float, drawn: str, more: str = "", width: float = WIDTH) -> str:
    """A picture on white; ``more`` are attributes that all of ``drawn`` inherits."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:g}' height='{height:g}' "
        f"viewBox='0 0 {width:g} {height:g}' fill='none' font-family='sans-serif' font-size='12' "
        f"text-anchor='middle' {more}>"
        "<style>text{fill:#000}</style>"
        f"<path fill='#fff' d='M0 0h{width:g}v{height:g}H0z'/>{drawn}</svg>"
    )


def label(x: float, y: float, text: str, more: str = "") -> str:
    """Words in a picture; ``more`` are attributes."""
    more = more and f" {more}"
    return f"<text x='{round(x, 1):g}' y='{round(y, 1):g}'{more}>{html.escape(text)}</text>"


def line(points: Sequence[tuple[float, float]]) -> str:
    """The ``d`` of a path through the points."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


Marks = Sequence[tuple[float, str]]


def axes(
    box: tuple[float, float, float, float], xs: Marks, ys: Marks, xname: str, yname: str
) -> str:
    """Two axes around a box, left, top, right, bottom, with names and marks, as the scripts do."""
    left, top, right, bottom = box
    grid = "".join(f"M{x:.1f} {top:g}V{bottom:g}" for x, _ in xs)
    grid += "".join(f"M{left:g} {y:.1f}H{right:g}" for y, _ in ys)
    return (
        f"<path d='{grid}' stroke='#E3E3E3'/>"
        f"<path d='M{left:g} {top:g}V{bottom:g}H{right:g}' stroke='{GREY}'/>"
        + "".join(label(x, bottom + 17, text) for x, text in xs)
        + "".join(label(left - 6, y + 4, text, "text-anchor='end'") for y, text in ys)
        + label((left + right) / 2, bottom + 35, xname)
        + label(max(left - 44, 1), top - 12, yname, "text-anchor='start'")
    )


def fill(template: str, numbers: Mapping[str, Any]) -> str:
    for name, number in numbers.items():
        template = template.replace(f"{{{name}}}", str(number))
    return template


def fixed(number: float, digits: int) -> str:
    """As the scripts write it: halves away from zero, a real minus sign, none before a zero."""
    rounded = Decimal(number).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{rounded + 0:f}".replace("-", MINUS)


def short(number: float) -> str:
    """Three digits that count, as the scripts write them: 0.316, 6.28, 1,990, 3.16×10⁻⁴."""
    exact = Decimal(number)
    power = exact.adjusted()
    rounded = exact.quantize(Decimal(1).scaleb(power - 2), ROUND_HALF_UP)
    power = rounded.adjusted()
    if -3 <= power < 6:
        text = f"{rounded:,f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    raised = str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    digits = f"{rounded.scaleb(-power):f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}×10{raised}"


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
