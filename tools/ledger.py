"""Write the page of claims, book/claims.md, from book/claims.toml and what the book has measured.

    python tools/ledger.py           write the page
    python tools/ledger.py --check   write nothing, fail if the page is not what it should be

Each claim names its numbers. A number comes from the output of a notebook's cell, where `shows`
must stand word for word and `says` is the part of it to quote, or is counted from a result file.
`lead`, the verdict in a sentence with the number that carries it, and `figure`, a list of all other
numbers, write them in braces:

    gap = { cell = "06_test_decay#b14d6799", shows = "115 of 256", says = "115" }
    gap = { result = "compare", of = "loss", where = { encoding = "rope", length = 64 } }
    gap = { result = "compare", of = "loss", where = { … }, less = { encoding = "learned" } }

The second is the mean over all runs that fit. The third is the mean of paired differences, seed by
seed, between those runs and the same with other settings. A learning rate "best" is the one with
the lowest mean; a setting that is "any" is not asked for. `digits` sets the decimals (2), `times`
and `unit` say in what it is written. `part` is "mean", "spread", "least" or "most"; "fall", by how
much the mean is below 0, for a sentence that says "lower by"; or "interval", the ends of Student's
95 % interval of the mean, for as many simultaneous `comparisons` (1).
`of` leads into a run by slashes: "losses/2048".
"""

import json
import re
import sys
import tomllib
from pathlib import Path
from statistics import fmean, stdev

import numpy as np

from rope_lib.course import results
from rope_lib.course.claims import ALL, COLORS

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "book" / "claims.toml"
PAGE = ROOT / "book" / "claims.md"
PARTS = {"mean": fmean, "spread": stdev, "least": min, "most": max, "fall": lambda x: -fmean(x)}
FIELDS = {"number", "short", "says", "source", "cells", "lead", "figure", "values", "verdict",
          "condition", "limits"}  # fmt: skip


class LedgerError(Exception):
    """A claim without a cell, a number that nobody measured; the message names it."""


# ---------------------------------------------------------------- numbers


def figures(claim: dict) -> dict[str, str]:
    """Each number of a claim, as it is to be written."""
    return {name: figure(spec) for name, spec in claim.get("values", {}).items()}


def figure(spec: dict) -> str:
    if "cell" in spec:
        if spec["shows"] not in output_of(spec["cell"]):
            raise LedgerError(f"the output of {spec['cell']} does not show {spec['shows']!r}")
        quoted = spec.get("says", spec["shows"])
        if quoted not in spec["shows"]:
            raise LedgerError(f"{quoted!r} is no part of {spec['shows']!r}")
        return quoted
    part = spec.get("part", "mean")
    sign = "+" if "less" in spec and part not in ("spread", "fall") else ""

    def number(value: float) -> str:
        return f"{value * spec.get('times', 1):{sign}.{spec.get('digits', 2)}f}".replace("-", "−")

    found = numbers(spec)
    if part == "interval":
        ends = results.interval(
            results.Difference.of(found), comparisons=spec.get("comparisons", 1)
        )
        return " to ".join(map(number, ends)) + spec.get("unit", "")
    value = PARTS[part](found)
    if part == "fall" and value <= 0:
        raise LedgerError(f"nothing falls in {spec}")
    return number(value) + spec.get("unit", "")


def numbers(spec: dict) -> list[float]:
    """One number a run, or one a pair."""
    runs = results.load(spec["result"])["runs"]
    first = fitting(runs, spec["where"], spec["of"])
    if "less" not in spec:
        return list(first.values())
    second = fitting(runs, {**spec["where"], **spec["less"]}, spec["of"])
    if first.keys() != second.keys():
        raise LedgerError(f"runs without a partner: {sorted(first.keys() ^ second.keys())}")
    return [first[seed] - second[seed] for seed in first]


def fitting(runs: list[dict], where: dict, of: str) -> dict[int, float]:
    """What the runs that fit have measured, by seed."""
    where = {key: value for key, value in where.items() if value != "any"}
    if where.get("learning_rate") == "best":
        del where["learning_rate"]
        where |= results.best_settings(results.select(runs, **where), ("learning_rate",))
    found = results.select(runs, **where)
    by_seed = {run["seed"]: look_up(run, of) for run in found}
    if len(by_seed) < len(found):
        raise LedgerError(f"{where} fits several runs of one seed")
    return by_seed


def look_up(run: dict, path: str) -> float:
    """A field, or a field of a field: ``losses/2048``; of a table of numbers, their mean."""
    value = run
    for key in path.split("/"):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return float(np.mean(value))


def output_of(cell: str) -> str:
    """What a cell printed; errors where there is no such cell."""
    notebook, _, wanted = cell.partition("#")
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        raise LedgerError(f"there is no notebook {notebook}")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    found = [cell for cell in cells if cell["id"] == wanted and cell["cell_type"] == "code"]
    if not found:
        raise LedgerError(f"{notebook} has no code cell {wanted}")
    texts = []
    for output in found[0]["outputs"]:
        data = output.get("data", {})
        texts += output.get("text", []) or data.get("text/plain", [])
        texts += data.get("text/html", [])
    return "".join(texts)


# ---------------------------------------------------------------- the page


def read() -> list[dict]:
    """All claims, looked over: nothing missing, nothing unknown."""
    claims = tomllib.loads(DATA.read_text(encoding="utf-8"))["claim"]
    for claim in claims:
        missing = FIELDS - {"values"} - claim.keys()
        if missing or claim.keys() - FIELDS:
            raise LedgerError(
                f"claim {claim.get('number')}: missing {sorted(missing)}, "
                f"unknown {sorted(claim.keys() - FIELDS)}"
            )
        if claim["verdict"] not in ALL:
            raise LedgerError(f"claim {claim['number']}: verdict must be one of {ALL}")
        if not claim["cells"]:
            raise LedgerError(f"claim {claim['number']} has no cell")
    return claims


def render(claims: list[dict]) -> str:
    """The page: a table of all claims, then each with what stands behind it."""
    opening, closing = HEAD.split("TABLE\n")
    rows = [
        f"| [{claim['number']} · {claim['short']}](#claim-{claim['number']}) "
        f"| {tile(claim['verdict'])}<br>{claim['condition']} |"
        for claim in claims
    ]
    text = opening + "\n".join([*TABLE, *rows]) + "\n" + closing + "".join(map(section, claims))
    return re.sub(r"TILE\((.*?)\)", lambda found: tile(found[1]), text)


def section(claim: dict) -> str:
    links = [cell_link(cell, text) for cell, text in claim["cells"].items()]
    lead, numbers = written(claim)
    first, *more = re.split(r"(?<=\.) (?=[A-Z])", lead, maxsplit=1)
    return (
        f"\n(claim-{claim['number']})=\n## {claim['number']} · {claim['short']}\n\n"
        f"> The article says: {claim['says']}\n\n"
        f"{tile(claim['verdict'])} {' '.join([f'**{first}**', *more])}\n\n"
        f"{claim['limits'].strip()}\n\n"
        f"<details><summary>Our numbers</summary>\n\n{numbers}\n\n</details>\n\n"
        f"*Sources:* {claim['source']}\n\n"
        f"*Experiments:* {'; '.join(links)}.\n"
    )


def tile(verdict: str) -> str:
    """A verdict on its colour, the one of chapter 13's figure; dark letters read on all of them."""
    style = f"background: {COLORS[verdict]}; color: #111; padding: 0.1em 0.5em; font-weight: 600"
    return f'<span style="{style}">{verdict}</span>'


def written(claim: dict) -> tuple[str, str]:
    """The verdict's sentence and the list of the other numbers, with the numbers in them."""
    known = figures(claim)
    used = set(re.findall(r"\{(\w+)\}", claim["lead"] + claim["figure"]))
    if used != known.keys():
        raise LedgerError(f"claim {claim['number']}: {sorted(used ^ known.keys())} do not match")
    return claim["lead"].format(**known), claim["figure"].strip().format(**known)


def cell_link(cell: str, text: str) -> str:
    output_of(cell)  # it must exist
    notebook, _, name = cell.partition("#")
    return f"[{text}](../notebooks/{notebook}.ipynb#cell-{name})"


TABLE = ["| The claim | Verdict, and why |", "|---|---|"]
HEAD = """\
# The claims, tested

<!-- Written by tools/ledger.py from claims.toml, the notebooks and the stored results. -->

This book grew out of one article. Which of its fourteen claims hold? Each was traced to its source
and tested as far as we could. Every number of ours is shown by a cell of this book or stored in a
result file; tests check that this page agrees.

## The article

*旋转位置编码 (RoPE)*, "Rotary position embedding (RoPE)", is a post for beginners in Chinese, dated
Jul 26 and marked © ZhengKe. If a claim has an older source, the section on it names this source.
Wherever this book says *the article*, it means this post, as we read it.

## All claims at a glance

[A figure in chapter 13](../notebooks/13_know_now.ipynb#cell-claims) sorts the claims by what they
say.

TABLE

## What the words mean

A verdict is about the sentence of the article, at the scale named beside it.

- TILE(holds) The source supports it, and what we ran or read agrees.
- TILE(holds, with a condition) It is true where the named condition is met.
- TILE(too simple) It is true in part; we say which part.
- TILE(does not hold) A counterexample or a measurement contradicts it.
- TILE(open) Our evidence is not enough to judge.

A range in brackets is a 95 % interval, or the middle half of the rounds where the page says so.
Losses are in nats per byte in small models and per token in SmolLM2; a difference with a plus
sign means a higher, that is a worse, loss. The numbers come from two kinds of models.

- *Small models* were trained for this book: two or three layers of width 128, bytes as tokens, one
  megabyte of text. They can show that a sentence is false, or that an effect exists. They cannot
  rank encodings for models a thousand times larger.
- *A real model*, SmolLM2-135M-Instruct with its published 4-bit weights, was read, not trained. It
  can show what a trained model does with distance, but not what another encoding would have done.
"""


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        text = render(read())
    except (LedgerError, ValueError, KeyError) as error:
        print(f"{DATA.relative_to(ROOT)}: {error}", file=sys.stderr)
        return 1
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("book/claims.md is not what claims.toml and the results say: `make ledger`",
              file=sys.stderr)  # fmt: skip
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
