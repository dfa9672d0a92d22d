"""linear_rates.py: attention without a denominator, the search, and what is stored."""

import pytest
import torch

from experiment_runs import stored
from rope_lib import RotaryEmbedding
from rope_lib.course import results

pytestmark = pytest.mark.usefixtures("scripts")
TINY = ["--steps", "2", "--width", "16", "--heads", "2", "--layers", "1", "--length", "16"]
SIZES = {"width": 16, "heads": 2, "layers": 2, "length": 32, "seed": 0, "start": 0.5}


@pytest.fixture
def script(little_text):
    import linear_rates

    little_text(linear_rates)
    return linear_rates


def feature(x):
    return torch.where(x > 0, x + 1, x.exp())


@pytest.mark.parametrize("fading", [False, True])
@pytest.mark.parametrize("turns", [False, True])
def test_a_normed_sum_is_that_of_one_state_that_fades(fading, turns):
    from mixers import NormedSum

    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 3, 40, 8).double()
    rope = RotaryEmbedding(8, pairing="half") if turns else None
    ours = NormedSum(fading)(q, k, v, encoding=rope)
    f, g = feature(q), feature(k)
    if turns:
        f, g = rope(f, g, torch.arange(40))
    for head in range(3):
        gamma = 1 - 2 ** (-5 - head) if fading else 1.0
        state = torch.zeros(8, 8).double()
        for m in range(40):
            state = gamma * state + torch.outer(g[0, head, m], v[0, head, m])
            sums = f[0, head, m] @ state
            expected = sums / sums.square().mean().sqrt()
            torch.testing.assert_close(ours[0, head, m], expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["normed_none", "normed_rope", "fading_none", "fading_rope"])
def test_a_normed_sum_looks_back_only_and_keeps_the_scale(name, script):
    run = {**script.WAYS[name], **SIZES}
    model, tokens = script.make(run), torch.randint(256, (2, 20))
    changed = tokens.clone()
    changed[:, 12:] = 7
    with torch.no_grad():
        torch.testing.assert_close(model(tokens)[:, :12], model(changed)[:, :12])
        q = torch.randn(1, 2, 20, 8)
        found = model.blocks[0].mixer(q, q, q, encoding=model.encoding, positions=torch.arange(20))
    torch.testing.assert_close(found.square().mean(-1), torch.ones(1, 2, 20))


def test_ways_are_as_they_are_called(script):
    import linear

    old = {f"elu_{place or encoding}" for encoding, place in linear.WAYS}
    new = {"normed_none", "normed_rope", "fading_none", "fading_rope"}
    assert set(script.WAYS) == old | new
    for name, how in script.WAYS.items():
        assert name.startswith("fading" if how["fading"] else "normed" if how["normed"] else
                               how["features"])  # fmt: skip
        assert name.endswith(how["place"] or how["encoding"])
        mixer = script.make({**how, **SIZES}).blocks[0].mixer
        assert getattr(mixer, "fading", None) == (how["fading"] if how["normed"] else None)
    assert len(set(script.COMPARED)) == len(script.COMPARED)
    assert {name for pair in script.COMPARED for name in pair} == set(script.WAYS)


@pytest.mark.parametrize("name", ["elu_none", "elu_numerator", "elu_both", "normed_rope"])
def test_weights_are_counted(name, script):
    run = {**script.WAYS[name], **SIZES}
    model = script.make(run)
    mixers = [block.mixer for block in model.blocks]
    seen, weights = script.weights_seen(model, run), script.weights_of(model, run)
    assert [block.mixer for block in model.blocks] == mixers
    assert weights.shape == (2, 4, 2, 32, 32)
    assert (weights.triu(1) == 0).all()
    negative, pairs, balance = 0, 0, []
    for rows in weights.flatten(0, 2).tolist():
        for m, row in enumerate(rows):
            negative += sum(x < 0 for x in row[: m + 1])
            pairs += m + 1
            balance.append(sum(row) / sum(abs(x) for x in row))
    assert seen["negative_share"] == pytest.approx(negative / pairs, abs=1e-5)
    assert seen["balance"][0] == pytest.approx(min(balance), abs=1e-4)
    assert (seen["negative_share"] > 0) == (name != "elu_none")
    assert ("row_sum" in seen) == (name != "normed_rope")
    if name == "elu_none":
        assert seen["row_sum"] == pytest.approx([1, 1, 1], abs=1e-4)
    if name == "elu_numerator":
        last = weights.double()[..., 15, :].sum(-1).mean().item()
        assert seen["row_sum_by_keys"][2] == [16, pytest.approx(last, abs=1e-4)]
        assert [keys for keys, _ in seen["row_sum_by_keys"]] == [1, 4, 16]


def test_the_weights_give_what_the_attention_gives(script):
    run = {**script.WAYS["elu_both"], **SIZES}
    mixer, encoding = script.make(run).blocks[0].mixer, RotaryEmbedding(8, pairing="half")
    q, k, v = torch.randn(3, 1, 2, 32, 8)
    unit = torch.eye(32).expand(1, 2, 32, 32)
    weights = mixer(q, k, unit, encoding=encoding)
    torch.testing.assert_close(weights @ v, mixer(q, k, v, encoding=encoding), atol=1e-4, rtol=1e-4)


WAYS = ["elu_learned", "fading_rope"]


def test_each_way_is_searched_and_then_trained_at_its_best(script, tuned, tmp_path, run_here):
    with pytest.raises(SystemExit, match="--tune first"):
        run_here("linear_rates", *TINY, *tuned)
    run_here("linear_rates", "--tune", *TINY, "--ways", *WAYS, *tuned)
    searched = stored(tmp_path, "linear_tune")
    run_here("linear_rates", *TINY, "--ways", *WAYS, *tuned)
    runs = stored(tmp_path, "linear_rates")
    assert [(r["seed"], r["way"]) for r in runs] == [(s, w) for s in range(5) for w in WAYS]
    for way in WAYS:
        tried = {(r["learning_rate"], r["own"]): r["loss"]
                 for r in results.select(searched, way=way)}  # fmt: skip
        rate, own = best = min(tried, key=tried.get)
        around = {(2 * rate, own), (rate / 2, own)}
        around |= {(rate, 2 * own), (rate, own / 2)} if way == "elu_learned" else set()
        assert around <= set(tried)
        for run in results.select(runs, way=way):
            assert (run["learning_rate"], run["own"]) == best
            kept = torch.load(tmp_path / f"work/linear_rates/{run['name']}.pt", weights_only=True)
            assert (kept["settings"]["learning_rate"], kept["settings"]["own"]) == best
            assert len(run["group_losses"]) == 16
            assert run["loss"] == pytest.approx(sum(run["group_losses"]) / 16, abs=1e-5)
            assert run["bigram"] < run["loss"]  # after two steps
    assert len({run["loss"] for run in runs}) == len(runs)
    starts = {run["encoding"]: run["start"] for run in runs}
    stored_starts = {run["encoding"]: run["start"] for run in results.load("linear")["runs"]}
    assert starts == {encoding: stored_starts[encoding] for encoding in starts}
