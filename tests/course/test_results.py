"""Reading stored results and counting from them, against sums done by hand."""

import json

import numpy as np
import pytest

from rope_lib.course import results

RUNS = [
    {"encoding": "a", "rate": 1, "seed": 0, "loss": 2.0},
    {"encoding": "a", "rate": 1, "seed": 1, "loss": 2.5},
    {"encoding": "a", "rate": 2, "seed": 0, "loss": 2.1},
    {"encoding": "a", "rate": 2, "seed": 1, "loss": 2.2},
    {"encoding": "b", "rate": 2, "seed": 1, "loss": 1.0},
    {"encoding": "b", "rate": 2, "seed": 0, "loss": 1.5},
]


def test_every_stored_result_is_found(tmp_path, monkeypatch):
    (tmp_path / "one.json").write_text('{"runs": [1]}')
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "one.json").write_text('{"runs": [2]}')
    (tmp_path / "copy" / "two.json").write_text('{"runs": [3]}')
    monkeypatch.setattr(results, "_FOLDERS", (tmp_path, tmp_path / "copy"))
    assert results.stored() == ["one", "two"]
    assert results.load("one") == {"runs": [1]}  # the checkout's own comes first
    assert results.load("two") == {"runs": [3]}
    with pytest.raises(ValueError, match="name must"):
        results.load("three")


def test_select():
    assert results.select(RUNS, encoding="a", rate=2) == RUNS[2:4]
    with pytest.raises(ValueError, match="no run has"):
        results.select(RUNS, encoding="c")
    with pytest.raises(ValueError, match="no run knows encodng"):
        results.select(RUNS, encodng=None)


def test_the_best_settings_have_the_lowest_mean():
    """Not the lowest single run: rate 1 has the best seed, rate 2 the best mean."""
    assert results.best_settings(RUNS[:4], ("rate",)) == {"rate": 2}
    diverged = [{**RUNS[2], "loss": None}, *RUNS[:2], RUNS[3]]
    assert results.best_settings(diverged, ("rate",)) == {"rate": 1}


def test_paired_differences_are_those_of_numpy():
    left, right = results.select(RUNS, encoding="a", rate=2), results.select(RUNS, encoding="b")
    differences = np.array([2.1 - 1.5, 2.2 - 1.0])  # seed by seed, not in the order of the list
    found = results.paired(left, right)
    assert found.mean == pytest.approx(differences.mean())
    assert found.spread == pytest.approx(differences.std(ddof=1))
    assert found.pairs == 2


def test_pairs_that_do_not_match_are_refused():
    left, right = RUNS[2:4], RUNS[4:]
    with pytest.raises(ValueError, match="without a partner"):
        results.paired(left, right[:1])
    with pytest.raises(ValueError, match="alike"):
        results.paired(RUNS[:4], right)
    with pytest.raises(ValueError, match="two pairs at least"):
        results.paired(left[:1], right[1:])


def test_stored_results_are_plain_json():
    for name in results.stored():
        text = json.dumps(results.load(name), allow_nan=False)
        assert len(text) < 1_000_000, name
