"""Tables of numbers, with headings in words: HTML on a page, lines of text in a terminal."""

import html
import re
from collections.abc import Sequence
from numbers import Integral, Real


class Table:
    """A table that a notebook shows when it is the last value of a cell.

    Args:
        headings: one for each column, in words, with the unit.
        rows: as many cells in each row as there are headings. A column of numbers, or of text that
            begins with numbers ("15°", "below 1e-12"), is aligned right, any other left. Integers
            get separators of thousands; None is an empty cell.
        digits: after the point, for all other numbers. A list gives each column its own.
        notes: a line below the table.

    Raises:
        ValueError: a row, or the list of digits, has another length than the headings.

    Example:
        >>> rows = [[0, 6.2832], [1, 628.3185]]
        >>> Table(["pair", "tokens for a full turn"], rows, digits=1)
        pair  tokens for a full turn
           0                     6.3
           1                   628.3
    """

    def __init__(
        self,
        headings: Sequence[str],
        rows: Sequence[Sequence],
        *,
        digits: int | Sequence[int] = 2,
        notes: str = "",
    ):
        self.headings = list(headings)
        each = [digits] * len(self.headings) if isinstance(digits, Integral) else list(digits)
        if len(each) != len(self.headings):
            raise ValueError(f"digits must hold {len(self.headings)} numbers, got {len(each)}")
        for row in rows:
            if len(row) != len(self.headings):
                raise ValueError(f"a row must have {len(self.headings)} cells, got {row!r}")
        self.numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(each))]
        self.rows = [[_written(x, d) for x, d in zip(row, each, strict=True)] for row in rows]
        self.notes = notes

    def _repr_html_(self) -> str:
        tags = ["th" if heading else "td" for heading in self.headings]  # a heading has words
        head = "".join(map(self._cell, tags, self.headings, self.numeric))
        body = "".join(
            "<tr>" + "".join(map(self._cell, ["td"] * len(row), row, self.numeric)) + "</tr>\n"
            for row in self.rows
        )
        notes = f"<p>{html.escape(self.notes)}</p>\n" if self.notes else ""
        return (
            f'<table class="dataframe">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}</tbody>\n</table>\n{notes}"
        )

    @staticmethod
    def _cell(tag: str, text: str, numeric: bool) -> str:
        side = ' style="text-align: right"' if numeric else ' style="text-align: left"'
        scope = ' scope="col"' if tag == "th" else ""
        whole = _POWER.sub("e\N{NON-BREAKING HYPHEN}", html.escape(text))
        whole = _ONE_THING.sub(lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), whole)
        return f"<{tag}{scope}{side}>{whole}</{tag}>"

    def __repr__(self) -> str:
        lines = [self.headings, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.headings))]
        sides = [str.rjust if numeric else str.ljust for numeric in self.numeric]
        written = [
            "  ".join(
                side(cell, width) for side, cell, width in zip(sides, line, widths, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join(written + ([self.notes] if self.notes else []))


_POWER = re.compile(r"(?<=\d)e-(?=\d)")  # 1e-12 is one word, though a browser would break it
# An interval in brackets, a bound or a difference stays in one line: "(0.04 to 0.19)", "m − n".
_ONE_THING = re.compile(r"\([−+\d.,]+ to [−+\d.,]+\)|below \d|\bm − n\b")
_BEGINS_WITH_NUMBER = re.compile(r"(below )?[-−+±<≈~]?\.?\d")


def _is_number(value) -> bool:
    if isinstance(value, str):
        return value == "" or bool(_BEGINS_WITH_NUMBER.match(value))
    return value is None or (isinstance(value, Real) and not isinstance(value, bool))


def _written(value, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    if isinstance(value, Integral):
        return f"{value:,}".replace("-", "−")
    text = f"{float(value):,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")
