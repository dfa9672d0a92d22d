"""The verdicts that chapters count are those of the ledger."""

import re
import tomllib
from pathlib import Path

import ledger
from rope_lib.course import claims

LEDGER = Path(__file__).parents[2] / "book" / "claims.toml"


def test_verdicts_are_those_of_the_ledger():
    stored = tomllib.loads(LEDGER.read_text("utf-8"))["claim"]
    assert {claim["number"]: claim["verdict"] for claim in stored} == claims.VERDICTS


def test_the_page_explains_every_verdict_in_their_order():
    explained = re.findall(r"^- TILE\((.+?)\) \w", ledger.HEAD, re.MULTILINE)
    assert tuple(explained) == claims.ALL == tuple(claims.COLORS)
