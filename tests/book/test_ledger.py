"""The page of claims: written from its data and the results, and from nothing else."""

import copy
import json
import re
from pathlib import Path

import pytest

import ledger
from rope_lib.course import results

TEXT = ledger.DATA.read_text(encoding="utf-8")
NUMBERS = list(range(1, 15))  # the claims of the article


@pytest.fixture
def claims():
    return ledger.read()


def test_every_claim_has_a_row(claims):
    assert [claim["number"] for claim in claims] == NUMBERS
    for claim in claims:
        assert claim["says"]
        assert claim["limits"]
        assert "https://" in claim["source"] or "](" in claim["source"], claim["number"]


def test_the_page_is_what_the_data_and_the_results_say(claims):
    assert ledger.PAGE.read_text(encoding="utf-8") == ledger.render(claims)


def test_every_claim_has_a_cell_with_an_output(claims):
    for claim in claims:
        for cell in claim["cells"]:
            assert ledger.output_of(cell).strip(), cell


def test_every_number_of_a_figure_was_measured(claims):
    """The sentences themselves hold no decimal number; those come through their values."""
    for claim in claims:
        assert not re.findall(r"\d\.\d", claim["lead"] + claim["figure"]), claim["number"]


# Each guard, seen red


def test_a_claim_without_a_cell_is_refused(tmp_path, monkeypatch):
    data = re.sub(r"\[claim\.cells\]\n(\"[^\n]*\n)+", "[claim.cells]\n", TEXT, count=1)
    assert "claim 1 has no cell" in failure(data, tmp_path, monkeypatch)


def test_a_dead_link_is_refused(tmp_path, monkeypatch):
    data = TEXT.replace("01_see_word_order#1fcd9a69", "01_see_word_order#gone")
    assert "01_see_word_order has no code cell gone" in failure(data, tmp_path, monkeypatch)
    data = TEXT.replace("01_see_word_order#", "01_gone#")
    assert "there is no notebook 01_gone" in failure(data, tmp_path, monkeypatch)


def test_a_figure_that_no_cell_shows_is_refused(tmp_path, monkeypatch):
    data = TEXT.replace('shows = "1000 of 1000"', 'shows = "999 of 1000"')
    assert "does not show '999 of 1000'" in failure(data, tmp_path, monkeypatch)


def test_a_quotation_is_a_part_of_what_is_shown(tmp_path, monkeypatch):
    data = TEXT.replace('shows = "1000 of 1000"', 'shows = "1000 of 1000", says = "1001"')
    assert "'1001' is no part of '1000 of 1000'" in failure(data, tmp_path, monkeypatch)


def test_a_verdict_or_a_field_that_is_not_known_is_refused(tmp_path, monkeypatch):
    data = TEXT.replace('verdict = "too simple"', 'verdict = "nice"', 1)
    assert "verdict must be one of" in failure(data, tmp_path, monkeypatch)
    data = TEXT.replace("limits =", "limit =", 1)
    assert "missing ['limits'], unknown ['limit']" in failure(data, tmp_path, monkeypatch)
    data = TEXT.replace("{noticed}", "{heard}", 1)
    assert "['heard', 'noticed'] do not match" in failure(data, tmp_path, monkeypatch)


def failure(data, tmp_path, monkeypatch):
    """What ``ledger.main`` says of other data, without touching the page."""
    (tmp_path / "claims.toml").write_text(data, encoding="utf-8")
    monkeypatch.setattr(ledger, "DATA", tmp_path / "claims.toml")
    monkeypatch.setattr(ledger, "PAGE", tmp_path / "claims.md")
    with pytest.raises(ledger.LedgerError) as error:
        ledger.render(ledger.read())
    assert not (tmp_path / "claims.md").exists()
    return str(error.value)


RESULTS = ["compare", "compare_long", "fair", "length", "linear", "linear_rates", "heads", "cost"]


@pytest.mark.parametrize("name", RESULTS)
def test_another_result_makes_another_page(name, claims, monkeypatch):
    """Every number of a result file in turn would be too many: all of one file grow by a tenth."""
    before, load = ledger.render(claims), results.load

    def changed(asked):
        found = copy.deepcopy(load(asked))
        return grown(found) if asked == name else found

    monkeypatch.setattr(results, "load", changed)
    assert ledger.render(claims) != before


def grown(value):
    if isinstance(value, float):
        return 1.1 * value
    if isinstance(value, dict):
        kept = ("learning_rate", "start")
        return {key: part if key in kept else grown(part) for key, part in value.items()}
    return [grown(part) for part in value] if isinstance(value, list) else value


def test_figures_are_those_of_sums_by_hand(monkeypatch):
    runs = [
        {"seed": seed, "encoding": encoding, "rate": 1, "loss": loss, "more": {"256": [loss, 1.0]}}
        for encoding, losses in {"a": (1.0, 2.0, 4.0), "b": (0.5, 1.0, 1.5)}.items()
        for seed, loss in enumerate(losses)
    ]
    monkeypatch.setattr(results, "load", lambda name: {"runs": json.loads(json.dumps(runs))})
    spec = {"result": "x", "of": "loss", "where": {"encoding": "a"}}
    assert ledger.figure(spec) == "2.33"
    assert ledger.figure({**spec, "digits": 0, "times": 100, "unit": " %"}) == "233 %"
    assert ledger.figure({**spec, "of": "more/256/1", "digits": 1}) == "1.0"
    paired = {**spec, "less": {"encoding": "b"}}  # 0.5, 1.0, 2.5
    assert ledger.figure(paired) == "+1.33"
    assert ledger.figure({**paired, "part": "spread"}) == "1.04"
    assert ledger.figure({**paired, "part": "least"}) == "+0.50"
    assert ledger.figure({**paired, "part": "most"}) == "+2.50"
    with pytest.raises(ledger.LedgerError, match="nothing falls"):
        ledger.figure({**paired, "part": "fall"})
    turned = {**spec, "where": {"encoding": "b"}, "less": {"encoding": "a"}, "part": "fall"}
    assert ledger.figure(turned) == "1.33"
    with pytest.raises(ledger.LedgerError, match="several runs"):
        ledger.figure({**spec, "where": {"rate": 1}})
    with pytest.raises(ValueError, match="no run has"):
        ledger.figure({**spec, "where": {"encoding": "c"}})


def test_the_best_rate_is_that_of_the_loss(monkeypatch):
    """Also where another field is asked for; "any" asks for nothing."""
    runs = [
        {"seed": seed, "learning_rate": rate, "loss": loss, "share": share}
        for rate, loss, share in ((0.1, 2.0, 0.5), (0.2, 1.0, 0.9))
        for seed in (0, 1)
    ]
    monkeypatch.setattr(results, "load", lambda name: {"runs": runs})
    spec = {"result": "x", "of": "share", "where": {"learning_rate": "best"}}
    assert ledger.figure(spec) == "0.90"
    with pytest.raises(ledger.LedgerError, match="several runs"):
        ledger.figure({**spec, "where": {"learning_rate": "any"}})
    one_less = [run for run in runs if run["learning_rate"] == 0.1 or run["seed"] == 0]
    monkeypatch.setattr(results, "load", lambda name: {"runs": one_less})
    apart = {**spec, "where": {"learning_rate": 0.1}, "less": {"learning_rate": 0.2}}
    with pytest.raises(ledger.LedgerError, match="without a partner"):
        ledger.figure(apart)


def test_check_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "PAGE", tmp_path / "claims.md")
    assert ledger.main(["--check"]) == 1
    assert "make ledger" in capsys.readouterr().err
    assert not ledger.PAGE.exists()
    assert ledger.main([]) == 0
    assert ledger.main(["--check"]) == 0
    assert Path(ledger.PAGE).read_text(encoding="utf-8").startswith("# The claims, tested")


def test_an_interval_is_student_s(monkeypatch):
    runs = [{"seed": seed, "way": way, "loss": loss}
            for way, losses in (("a", (1.5, 1.7, 1.9)), ("b", (1.0, 1.1, 1.5)))
            for seed, loss in enumerate(losses)]  # fmt: skip
    monkeypatch.setattr(results, "load", lambda name: {"runs": runs})
    spec = {"result": "r", "of": "loss", "where": {"way": "a"}, "less": {"way": "b"}}
    # The differences are 0.5, 0.6 and 0.4; 4.303 is the table's 97.5 % point for 2 degrees.
    half = 4.303 * 0.1 / 3**0.5
    assert ledger.figure(spec | {"part": "interval"}) == f"+{0.5 - half:.2f} to +{0.5 + half:.2f}"
    wider = ledger.figure(spec | {"part": "interval", "comparisons": 10})
    assert wider.startswith("−")
