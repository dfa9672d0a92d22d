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


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 4, 2.776), (0.995, 4, 4.604),
     (0.9975, 4, 5.598), (0.95, 10, 1.812), (0.975, 30, 2.042), (0.975, 1000, 1.962),
     (0.5, 3, 0.0)],
)  # fmt: skip
def test_quantiles_of_t_are_those_of_printed_tables(probability, freedom, expected):
    assert results.t_quantile(probability, freedom) == pytest.approx(expected, abs=6e-4)


def test_quantiles_of_t_have_formulas_for_one_and_two_degrees():
    for probability in (0.6, 0.9, 0.999):
        tails = 4 * probability * (1 - probability)
        one = np.tan(np.pi * (probability - 0.5))
        two = 2 * (probability - 0.5) * np.sqrt(2 / tails)
        assert results.t_quantile(probability, 1) == pytest.approx(one, rel=1e-8)
        assert results.t_quantile(probability, 2) == pytest.approx(two, rel=1e-8)
    with pytest.raises(ValueError, match=r"probability must be from 0\.5"):
        results.t_quantile(0.025, 4)


def test_an_interval_is_the_one_by_hand():
    """Mean 1, standard deviation 2, 5 pairs: 2.776 * 2 / sqrt(5) = 2.483, for ten 5.007."""
    difference = results.Difference(1.0, 2.0, 5)
    assert results.interval(difference) == pytest.approx((-1.483, 3.483), abs=1e-3)
    assert results.interval(difference, comparisons=10) == pytest.approx((-4.007, 6.007), abs=1e-3)


def trained(*losses):
    return [{"seed": s, "loss": x, "bigram": 2.45} for s, x in enumerate(losses)]


def test_verdicts_follow_the_rules():
    """Differences with mean 0.02 and standard deviation 0.001, 0.01 or 0.04 over five seeds."""
    others = trained(2.1, 2.2, 2.1, 2.2, 2.1)

    def shifted(by, noise):
        signs = (1, -1, 1, -1, 0)
        return trained(
            *(run["loss"] + by + noise * s for run, s in zip(others, signs, strict=True))
        )

    def said(by, noise, comparisons=10):
        return results.verdict(shifted(by, noise), others, comparisons=comparisons)

    assert said(-0.02, 0.001) == "better"
    assert said(0.02, 0.001) == "worse"
    assert said(0.009, 0.0001) == "no difference"
    assert said(0.02, 0.04) == "undecided"
    assert said(0.02, 0.01) == "undecided"  # ± 5.598 * 0.01 / sqrt(5) = 0.025
    assert said(0.02, 0.01, comparisons=1) == "worse"  # ± 2.776 * 0.01 / sqrt(5) = 0.012


def test_a_plateau_is_marked_and_not_ranked():
    others = trained(2.1, 2.2)
    assert not results.is_on_plateau(trained(2.1, 2.39))
    for losses in ((2.1, 2.41), (2.9, 2.1), (2.1, None)):
        assert results.is_on_plateau(trained(*losses))
        assert results.verdict(trained(*losses), others, comparisons=1) == "plateau"
