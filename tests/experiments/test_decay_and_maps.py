"""decay.py and maps.py: what they store, recomputed in small or by another way."""

import json
import math
from pathlib import Path

import pytest
import torch

from experiment_runs import results_only, stored
from rope_lib import Llama3, RotaryEmbedding, axes, inverse_frequencies
from rope_lib.course import decay, results

pytestmark = pytest.mark.usefixtures("scripts")
CONFIGS = Path(__file__).resolve().parents[1] / "models" / "published_configs.json"
INV_FREQ = inverse_frequencies(128)


def kept(name, **wanted):
    return results.select(results.load(name)["runs"], **wanted)


def by_distance(found):
    """``{"100": x}`` as two tensors: the distances and the numbers."""
    return torch.tensor([int(key) for key in found]), torch.tensor(list(found.values())).double()


def within(sampled, exact, error, errors=4.5):
    return abs(sampled - exact) <= errors * error


# decay.py


def test_the_spreads_that_are_stored():
    equal, unequal, one_side, correlated = (
        kept("decay", kind="spread", case=case)[0]
        for case in ("equal", "unequal", "unequal queries", "correlated")
    )
    assert all(x == pytest.approx(math.sqrt(128), abs=1e-4) for x in equal["exact"].values())
    assert len(set(one_side["exact"].values())) == 1
    distances, _ = by_distance(equal["exact"])
    cos = (distances.double().unsqueeze(-1) * INV_FREQ).cos()
    for run, (same, crossed) in ((unequal, (1 + 0.2**4, 2 * 0.2**2)),
                                 # Turned by 45 degrees the pair has variances 1.9 and 0.1.
                                 (correlated, (1.9**2 + 0.1**2, 2 * 1.9 * 0.1))):  # fmt: skip
        expected = (cos**2 * same + (1 - cos**2) * crossed).sum(-1).sqrt()
        torch.testing.assert_close(by_distance(run["exact"])[1], expected, rtol=1e-5, atol=0)
        values = list(run["exact"].values())
        assert values == sorted(values, reverse=True)
    for run in kept("decay", kind="spread"):
        for distance, exact in run["exact"].items():
            # The error of a standard deviation, of numbers that are nearly normal.
            normal = exact / math.sqrt(2 * run["pairs"])
            assert 0.4 * normal < run["error"][distance] < 2 * normal
            assert within(run["sampled"][distance], exact, run["error"][distance])


@pytest.mark.parametrize("case", ["one", "one as long", "best of 1,000"])
def test_the_leads_that_are_stored(case):
    for run in kept("decay", kind="lead", case=case):
        distances, formula = by_distance(run["formula"])
        assert {100, 500, 1000, 1706} <= set(distances.tolist())
        again = decay.lead_probability(
            INV_FREQ, distances, keys=run["keys"], deviation=run["deviation"]
        )
        torch.testing.assert_close(formula, again, rtol=0, atol=1e-5)
        torch.testing.assert_close(
            by_distance(run["lead"])[1], 2 * (distances[:, None] * INV_FREQ).cos().sum(-1),
            rtol=1e-5, atol=1e-6,
        )  # fmt: skip
        for key, expected in run["formula"].items():
            error = math.sqrt(expected * (1 - expected) / run["trials"])
            assert run["error"][key] == pytest.approx(error, rel=0.3, abs=2e-3)
            # The approximation itself is allowed a small part of the chance to lose.
            assert within(run["sampled"][key], expected, error + 0.05 * (1 - expected), 4)


def test_a_longer_random_key_and_more_keys_are_harder_to_beat():
    one, longer, many = (
        by_distance(kept("decay", kind="lead", case=case)[0]["sampled"])[1]
        for case in ("one", "one as long", "best of 1,000")
    )
    distances, lead = by_distance(kept("decay", kind="lead", case="one")[0]["lead"])
    ahead = (lead > 5) & (distances > 50)
    assert (longer[ahead] < one[ahead]).all()
    assert (many[ahead] < longer[ahead]).all()


def test_the_zeros_that_are_stored():
    (run,) = kept("decay", kind="zero")
    assert list(run["first_negative"]) == [str(width) for width in run["widths"]]
    for width in (64, 128, 256, 512):
        first = run["first_negative"][str(width)]
        assert decay.first_negative(inverse_frequencies(width), 10_000) == first
        assert run["in_bases"][str(width)] == first / 10_000
    for width in (8192, 32_768):  # around the stored distance only: these heads are wide
        first = run["first_negative"][str(width)]
        around = decay.uniform_score(
            inverse_frequencies(width), torch.arange(first - 30, first + 1)
        )
        assert (around[:-1] >= 0).all()
        assert around[-1] < 0
    assert run["limit_in_bases"] == pytest.approx(0.6165054856207, abs=1e-9)
    assert abs(run["first_negative_many_pairs"] - 6165.05) <= 3
    values = list(run["in_bases"].values())
    assert values == sorted(values)


def test_the_shortfalls_that_are_stored():
    for run in kept("decay", kind="model"):
        inv_freq = inverse_frequencies(run["head_dim"], run["base"])
        if "factor" in run:
            inv_freq = Llama3(8, 8192).inverse_frequencies(128, 5e5)
        found = decay.shortfall(inv_freq, run["length"])
        assert (found.first, found.count) == (run["first_negative"], run["negative"])
        assert run["share"] == pytest.approx(found.count / run["length"], rel=1e-5)
        assert (run["lowest"], run["lowest_at"]) == (
            pytest.approx(found.lowest, rel=1e-5),
            found.at,
        )
        assert run["highest"] == decay.uniform_score(inv_freq, torch.arange(1)).item()


def test_the_models_are_those_of_their_configurations():
    published = json.loads(CONFIGS.read_text("utf-8"))
    for model, name in {
        "LLaMA 2": "Llama-2-7b-hf", "Llama 3": "Meta-Llama-3-8B", "Qwen2.5": "Qwen2.5-7B-Instruct",
        "Llama 3.1": "Llama-3.1-8B-Instruct", "SmolLM2": "SmolLM2-135M-Instruct",
    }.items():  # fmt: skip
        (run,) = kept("decay", model=model)
        config = next(each["config"] for each in published if each["name"] == name)
        assert run["head_dim"] == config["hidden_size"] // config["num_attention_heads"]
        assert run["base"] == config.get("rope_theta", 10_000.0)
        assert run["length"] == config["max_position_embeddings"]
        scaling = config.get("rope_scaling") or {}
        assert run.get("factor") == scaling.get("factor")
        assert run.get("original") == scaling.get("original_max_position_embeddings")


# maps.py


def near_share(angles_down, angles_right, lead):
    """Chapter 9's map around (3, -5), written out, and its weight within two steps of the peak."""
    weights = {}
    for row in range(-10, 11):
        for column in range(-10, 11):
            angles = [(row - 3) * a + (column + 5) * b
                      for a, b in zip(angles_down, angles_right, strict=True)]  # fmt: skip
            mean = sum(math.cos(angle) for angle in angles) / len(angles)
            weights[row - 3, column + 5] = math.exp(lead * mean)
    near = sum(w for (a, b), w in weights.items() if abs(a) <= 2 and abs(b) <= 2)
    return near / sum(weights.values())


def test_the_shares_near_the_peak_that_are_stored():
    ladder = [10 ** (-i / 8) for i in range(8)]
    axial = ([*ladder, *[0] * 8], [*[0] * 8, *ladder])
    golden = math.pi * (3 - math.sqrt(5))
    waves = {"axial": axial}
    for name, turn in (("golden", golden), ("half golden", golden / 2)):
        waves[name] = tuple([ladder[j // 2] * f(j * turn) for j in range(16)]
                            for f in (math.sin, math.cos))  # fmt: skip
    for name, (down, right) in waves.items():
        (run,) = kept("maps", frequencies=name, peak=[3, -5])
        for lead in (6, 12):
            found = near_share(down, right, lead)
            assert run["near_share"][str(lead)] == pytest.approx(found, abs=1e-5)
    hundredths = {
        name: [round(100 * x) for x in kept("maps", frequencies=name, peak=[3, -5])[0][
            "near_share"].values()]
        for name in ("axial", "golden")
    }  # fmt: skip
    assert hundredths == {"axial": [63, 96], "golden": [71, 98]}


def test_half_of_the_golden_angle_is_more_even_but_not_sharper():
    for peak in ([3, -5], [0, 0]):
        whole, half = (kept("maps", frequencies=name, peak=peak)[0]
                       for name in ("golden", "half golden"))  # fmt: skip
        assert half["largest_gap"] < whole["largest_gap"]
        assert half["far_directions"]["spread"] < whole["far_directions"]["spread"]
        assert half["far_row"] < whole["far_row"]
        for lead, share in half["near_share"].items():
            assert share == pytest.approx(whole["near_share"][lead], abs=0.01)


def test_random_heads_tie_only_where_they_must():
    for run in kept("maps", kind="diagonals"):
        axial = run["frequencies"] == "axial"
        assert (run["sums_of_scores_differ"] == 0) == axial
        assert (run["log_products_of_weights_differ"] == 0) == axial
        assert (run["one_diagonal_above_the_other"] == 0) == axial
        assert run["log_sums_of_weights_differ"] > 0.01  # in every kind


def test_random_heads_are_turned_as_the_library_turns():
    import maps

    waves, seed = maps.frequencies("axial", 16, 10.0), torch.Generator().manual_seed(4)
    (scores,) = maps.random_heads(waves, 1, seed)
    q, k = torch.randn(2, 1, 32, generator=seed.manual_seed(4), dtype=torch.float64)
    rope = RotaryEmbedding(32, pairing="interleaved", base=10.0, axes=axes.axial(32))
    places = torch.tensor([[20, 23], [20, 13]])  # the query, then the key 3 down and 7 left
    both = torch.cat((q, k))[None]
    turned, _ = rope(both, both, places)
    expected = (turned[0, 0] @ turned[0, 1]).item() / math.sqrt(32)
    assert scores[10 + 3, 10 - 7].item() == pytest.approx(expected)


def test_an_unturned_token_looks_where_the_origin_is():
    corner, middle = (kept("maps", origin=where)[0] for where in ("first patch", "middle"))
    assert corner["highest"] == [1.0, 0, 0]
    assert middle["highest"][0] < 1  # with an even side there is no patch in the very middle
    assert all(share == 0.25 for row in middle["quarters"] for share in row)
    (first, second), (third, last) = corner["quarters"]
    assert first > 2 * second > 4 * last
    assert second == third
    assert first + second + third + last == pytest.approx(1, abs=1e-5)


# Both


def test_maps_can_be_made_again(tmp_path, run_here):
    """Every number; those of random heads may differ a little where the processor does."""
    folders = ["--results", str(tmp_path), "--work", str(tmp_path / "work"), "--device", "cpu"]
    run_here("maps", *folders)
    for again, before in zip(
        results_only(stored(tmp_path, "maps")), results_only(kept("maps")), strict=True
    ):
        assert again.keys() == before.keys()
        nearly = 2e-3 if again["kind"] == "diagonals" else 2e-6
        assert flat(again) == pytest.approx(flat(before), abs=nearly)


def test_decay_runs_at_a_reduced_size(tmp_path, run_here, monkeypatch):
    import decay as script

    monkeypatch.setattr(script, "MODELS", {"SmolLM2": script.MODELS["SmolLM2"]})
    monkeypatch.setattr(script, "BATCH", 500)
    monkeypatch.setattr(script.decay, "first_negative", lambda inv_freq, limit: 5)
    folders = ["--results", str(tmp_path), "--work", str(tmp_path / "work"), "--device", "cpu"]
    run_here("decay", "--pairs", "2000", "--trials", "4", "--seeds", "3", *folders)
    for run in stored(tmp_path, "decay"):
        if run["kind"] == "spread":
            for distance, exact in run["exact"].items():
                (before,) = kept("decay", kind="spread", case=run["case"])
                assert exact == pytest.approx(before["exact"][distance], rel=1e-5)
                normal = exact / math.sqrt(2 * run["pairs"])
                assert within(run["sampled"][distance], exact, normal, 6)
                assert 0.1 * normal < run["error"][distance] < 3.5 * normal  # of four batches
        if run["kind"] == "lead" and run["keys"] == 1:
            assert all(abs(run["sampled"][d] - p) < 0.06 for d, p in run["formula"].items())


def flat(value):
    """The numbers within nested dictionaries and lists, in order."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in flat(part)]
    return [value] if isinstance(value, int | float) else []
