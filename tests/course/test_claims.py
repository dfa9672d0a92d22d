"""The verdicts that chapters count are those of the ledger."""

import tomllib
from pathlib import Path

import ledger
from rope_lib.course import claims

LEDGER = Path(__file__).parents[2] / "book" / "claims.toml"


def test_verdicts_are_those_of_the_ledger():
    stored = tomllib.loads(LEDGER.read_text("utf-8"))["claim"]
    assert {claim["number"]: claim["verdict"] for claim in stored} == claims.VERDICTS


def test_verdicts_have_the_words_of_the_ledger():
    assert claims.ALL == ledger.VERDICTS
