"""fair.py: its encodings, learning rates of their own, the search, and what it stores."""

import argparse
import json
import math
from dataclasses import replace

import pytest
import torch

from experiment_runs import stored
from rope_lib.course import results
from rope_lib.course.decoder import causal_attention

pytestmark = pytest.mark.usefixtures("scripts")
TINY = ["--steps", "3", "--width", "16", "--heads", "2", "--lengths", "16"]


def small(encoding, seed=3, **sizes):
    from rivals import make_rival
    from training import Model

    return make_rival(Model(encoding, **{"width": 32, "heads": 2, **sizes}), 16, seed)


def names():
    """All encodings of fair.py, whose modules cannot be imported before a test begins."""
    return ("none", "sinusoidal", "learned", "t5", "alibi", "rope", "t5_paper", "rope_partial",
            "rope_proportional", "rope_some_layers", "pope")  # fmt: skip


@pytest.fixture
def fair(little_text):
    import fair

    little_text(fair)
    return fair


# The encodings


def test_the_longest_pair_is_found_before_any_rotation():
    from fair import held_out_pieces, largest_pairs, plays
    from rivals import make_rival
    from training import Model

    model = make_rival(Model("rope_some_layers", width=16, heads=2), 16, seed=0)
    with torch.no_grad():
        weight = model.blocks[1].qkv.weight  # queries, keys, values; each two heads of 8 numbers
        weight[16 + 8 + 3] *= 100  # a key of head 1, pair 3
    found = largest_pairs(model, held_out_pieces(plays(), 16))
    assert {name: [len(heads) for heads in layers] for name, layers in found.items()} == {
        "queries": [2, 2], "keys": [2, 2], "values": [2, 2]
    }  # fmt: skip
    assert found["keys"][1][1] > 20 > 5 > max(*found["keys"][0], *found["values"][1])
    assert found["keys"][1][0] < 5


def test_these_are_all_encodings():
    from rivals import RIVALS

    assert names() == RIVALS


@pytest.mark.parametrize("name", names())
def test_an_encoding_looks_back_only_and_tells_positions(name):
    model, tokens = small(name, start=0.5), torch.randint(256, (2, 12))
    for block in model.blocks:
        block.qkv.weight.data.mul_(20)  # so that attention matters
    changed = tokens.clone()
    changed[:, 8:] = 7
    with torch.no_grad():
        before, after = model(tokens), model(changed)
        plain = small("none", start=0.5)
        plain.load_state_dict(model.state_dict(), strict=False)
        other = plain(tokens)
    torch.testing.assert_close(before[:, :8], after[:, :8])
    assert not torch.allclose(before[:, 8:], after[:, 8:], atol=1e-3)
    assert torch.allclose(before, other, atol=1e-5) == (name == "none")


@pytest.mark.parametrize("name", names())
def test_an_encoding_learns_and_begins_as_the_others(name, tmp_path):
    from common import Place
    from training import Schedule, train

    model, plain = small(name), small("none")
    weights = dict(model.named_parameters())
    for key, value in plain.named_parameters():
        assert torch.equal(weights[key], value)
    schedule = Schedule(16, 2, 25, 0.01, warmup=5, own=2.0)
    curve = train(model, schedule, 0, Place(torch.device("cpu"), tmp_path), "a")
    assert curve[-1][1] < curve[0][1] - 0.5


def test_only_some_encodings_have_parameters_of_their_own():
    from rivals import LEARNING, RIVALS
    from training import own_parameters

    counted = {n: sum(p.numel() for p in own_parameters(small(n))) for n in RIVALS}
    assert {name for name, count in counted.items() if count} == set(LEARNING)
    # 16 positions of width 32; 32 distances of 2 heads; 2 layers of 2 heads of width 16
    assert [counted[name] for name in LEARNING] == [16 * 32, 32 * 2, 32 * 2, 2 * 2 * 16]


def test_half_of_each_head_turns_with_the_frequencies_of_half_a_head():
    q = torch.randn(1, 2, 5, 16)
    turned, _ = small("rope_partial").encoding(q, q, torch.arange(5))
    assert torch.equal(turned[..., 8:], q[..., 8:])
    for pair in range(4):
        angle = 3 * 10_000 ** (-2 * pair / 8)  # the token at position 3
        x, y = q[0, 0, 3, pair].item(), q[0, 0, 3, pair + 4].item()
        expected = x * math.cos(angle) - y * math.sin(angle)
        assert turned[0, 0, 3, pair].item() == pytest.approx(expected, abs=1e-5)


def test_three_quarters_of_the_pairs_turn_as_in_rope():
    q = torch.randn(1, 2, 5, 16)
    turned, _ = small("rope_proportional").encoding(q, q, torch.arange(5))
    full, _ = small("rope").encoding(q, q, torch.arange(5))
    pairs = torch.arange(16) % 8
    torch.testing.assert_close(turned[..., pairs < 6], full[..., pairs < 6])
    assert torch.equal(turned[..., pairs >= 6], q[..., pairs >= 6])
    assert not torch.allclose(full[:, :, 1:, pairs >= 6], q[:, :, 1:, pairs >= 6], atol=1e-3)


def test_the_first_layer_turns_and_the_second_does_not():
    model, q = small("rope_some_layers"), torch.randn(3, 1, 2, 5, 16)
    first, second = (block.mixer(*q, positions=torch.arange(5)) for block in model.blocks)
    expected = causal_attention(*q, encoding=small("rope").encoding)
    torch.testing.assert_close(first, expected)
    assert torch.equal(second, causal_attention(*q))


def test_scores_of_pope_are_those_of_the_formula():
    from rivals import PoPE

    torch.manual_seed(0)
    pope, heads, width = PoPE(heads=2, head_dim=3), 2, 3
    q, k = torch.randn(2, 1, heads, 4, width).double()
    q_, k_ = pope(q, k, torch.arange(4))
    scores = q_ @ k_.transpose(-1, -2) / math.sqrt(2 * width)  # as attention divides
    for head in range(heads):
        for m in range(4):
            for n in range(4):
                expected = 0.0
                for c in range(width):
                    long_q = math.log(1 + math.exp(q[0, head, m, c]))
                    long_k = math.log(1 + math.exp(k[0, head, n, c]))
                    phase = (n - m) * 10_000 ** (-c / width) + pope.delta[head, 0, c].item()
                    expected += long_q * long_k * math.cos(phase)
                found = scores[0, head, m, n].item()
                assert found == pytest.approx(expected / math.sqrt(width), abs=1e-6)


def test_layers_of_pope_have_phases_of_their_own():
    first, second = (block.mixer.encoding.delta for block in small("pope").blocks)
    assert first is not second
    assert not torch.equal(first, second)
    assert -2 * math.pi <= first.min() < -4 < -2 < first.max() <= 0


def test_t5_paper_is_t5_with_scores_that_are_not_divided():
    paper, plain = small("t5_paper").encoding, small("t5").encoding
    q, k, v = torch.randn(3, 1, 2, 6, 16)
    found = causal_attention(q, k, v, encoding=paper)
    torch.testing.assert_close(found, causal_attention(4 * q, k, v, encoding=plain))
    scores = q @ k.transpose(-1, -2) + plain.bias(torch.arange(6), torch.arange(6))
    seen = torch.ones(6, 6, dtype=torch.bool).tril()
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    torch.testing.assert_close(found, weights @ v)


# A rate of its own


@pytest.mark.parametrize("name", ["learned", "t5", "t5_paper", "pope"])
def test_the_first_step_moves_own_parameters_so_much_farther(name, tmp_path):
    """AdamW's first step is as long as the rate, for every number with a gradient."""
    from common import Place
    from training import Schedule, own_parameters, train

    schedule = Schedule(16, 4, 1, 1e-3, warmup=1, weight_decay=0.0, own=8.0)
    model = small(name, start=0.5)
    before = [p.detach().clone() for p in (model.unembedding.weight, *own_parameters(model))]
    train(model, schedule, 0, Place(torch.device("cpu"), tmp_path), "a")
    after = (model.unembedding.weight, *own_parameters(model))
    moved = [(y - x).abs().max().item() for x, y in zip(before, after, strict=True)]
    assert moved[0] == pytest.approx(1e-3, rel=0.01)
    assert moved[1:] == [pytest.approx(8e-3, rel=0.01)] * (len(moved) - 1)


def test_own_parameters_do_not_decay():
    from training import Schedule, _optimizer

    model, schedule = small("t5"), Schedule(16, 2, 3, 0.01, weight_decay=0.3)
    (alone,) = _optimizer(model, schedule).param_groups
    rest, own = _optimizer(model, replace(schedule, own=1.0)).param_groups
    assert alone["weight_decay"] == rest["weight_decay"] == 0.3
    assert own["weight_decay"] == 0
    assert len(alone["params"]) == len(rest["params"]) + len(own["params"])
    assert own["params"][0] is model.encoding.table.weight
    (only,) = _optimizer(small("rope"), replace(schedule, own=1.0)).param_groups
    assert only["weight_decay"] == 0.3


def test_a_checkpoint_with_another_own_is_refused(tmp_path):
    from common import Place
    from training import Schedule, train

    place, schedule = Place(torch.device("cpu"), tmp_path), Schedule(16, 2, 2, 0.01)
    train(small("t5"), schedule, 0, place, "a")
    old = torch.load(tmp_path / "a.pt", weights_only=True)
    del old["settings"]["own"]  # as checkpoints were before
    torch.save(old, tmp_path / "a.pt")
    assert train(small("t5"), schedule, 0, place, "a")[-1][0] == 2
    with pytest.raises(SystemExit, match="'own': None"):
        train(small("t5"), replace(schedule, own=8.0), 0, place, "a")


# The search


@pytest.mark.parametrize("best", [(0, 0), (5, -4), (-3, 6), (0, 1)])
def test_the_search_ends_where_all_neighbours_are_worse(best):
    from searching import neighbours, search

    def loss(point):  # a bent valley with one lowest point
        x, y = point.rate - best[0], point.own - best[1]
        return x * x + y * y + 0.9 * x * y

    seen, missing = search(loss, has_own=True)
    lowest = min(seen, key=loss)
    assert (lowest.rate, lowest.own) == best
    assert not missing
    assert set(neighbours(lowest, has_own=True)) <= set(seen)
    assert len(seen) == len(set(seen)) < 60


def test_the_search_asks_for_what_it_does_not_know_and_can_be_replayed():
    from searching import Point, search

    known, rounds = {}, 0
    while True:
        seen, missing = search(known.get, has_own=False)
        if not missing:
            break
        rounds += 1
        assert len(missing) <= 3
        known |= {point: math.inf if point.rate > 2 else abs(point.rate - 2) for point in missing}
    assert [point.rate for point in seen] == [0, -1, 1, 2, 3]
    assert rounds == 3
    assert set(seen) == set(known)
    assert search(known.get, has_own=False) == (seen, [])
    assert search(dict.fromkeys(known, math.inf).get, False) == (seen[:3], [])
    assert seen[0] == Point(0, 0)


def tune(fair, run_here, tuned, *encodings):
    run_here("fair", "--tune", *TINY, "--encodings", *encodings, *tuned)


def test_a_tuning_is_continued_and_replayed(fair, tuned, tmp_path, run_here, monkeypatch):
    """Interrupted in its second round; then from the work folder; then from the result alone."""
    work, done = fair.work, []

    def remember(run, place):
        if len(done) == 7:
            raise KeyboardInterrupt
        done.append(run["name"])
        return work(run, place)

    monkeypatch.setattr(fair, "work", remember)
    with pytest.raises(KeyboardInterrupt):
        tune(fair, run_here, tuned, "rope", "t5")
    assert not (tmp_path / "fair_tune.json").exists()
    first = list(done)
    monkeypatch.setattr(
        fair, "work", lambda run, place: done.append(run["name"]) or work(run, place)
    )
    tune(fair, run_here, tuned, "rope", "t5")
    assert done[:7] == first
    runs = stored(tmp_path, "fair_tune")
    assert sorted(done) == sorted(run["name"] for run in runs)  # nothing twice
    (tmp_path / "work").rename(tmp_path / "gone")
    tune(fair, run_here, tuned, "rope", "t5")
    assert len(done) == len(runs)
    assert stored(tmp_path, "fair_tune") == runs
    for encoding in ("rope", "t5"):
        tried = {
            (run["learning_rate"], run["own"]): run["loss"]
            for run in results.select(runs, encoding=encoding)
        }
        rate, own = min(tried, key=tried.get)
        around = [(2 * rate, own), (rate / 2, own)]
        around += [(rate, 2 * own), (rate, own / 2)] if encoding == "t5" else []
        assert set(around) <= set(tried)


def test_a_run_that_is_not_stored_ends_the_search(fair, tuned, run_here, monkeypatch):
    monkeypatch.setattr(fair, "run_all", lambda *args, **options: None)
    with pytest.raises(RuntimeError, match="not stored"):
        tune(fair, run_here, tuned, "rope")


# The comparison


def test_each_encoding_is_compared_at_its_best_point(fair, tuned, tmp_path, run_here):
    with pytest.raises(SystemExit, match="--tune first"):
        run_here("fair", *TINY, *tuned)
    tune(fair, run_here, tuned, "rope", "pope")
    run_here("fair", *TINY, "--encodings", "rope", "pope", *tuned)
    runs, searched = stored(tmp_path, "fair"), stored(tmp_path, "fair_tune")
    assert [(run["seed"], run["encoding"]) for run in runs] == [
        (seed, encoding) for seed in range(5) for encoding in ("rope", "pope")
    ]
    for encoding in ("rope", "pope"):
        best = min(results.select(searched, encoding=encoding), key=lambda run: run["loss"])
        for run in results.select(runs, encoding=encoding):
            same = ("learning_rate", "own", "start", "batch", "length", "steps")
            assert [run[key] for key in same] == [best[key] for key in same]
            assert len(run["group_losses"]) == 16
            assert run["loss"] == pytest.approx(sum(run["group_losses"]) / 16, abs=1e-5)
            assert run["bytes_seen"] == 3 * 4 * 16
    assert len({run["loss"] for run in runs}) == 10
    command = json.loads((tmp_path / "fair_tune.json").read_text())["command"]
    assert command.startswith("python experiments/fair.py --tune")


def test_new_variants_start_as_their_kin():
    from common import HERE
    from fair import starts
    from rivals import RIVALS

    found = starts(argparse.Namespace(results=HERE / "results", encodings=RIVALS))
    for name in RIVALS:
        kin = "t5" if name == "t5_paper" else "rope" if name in RIVALS[7:] else name
        assert found[name] == found[kin]
    assert found["t5"] != found["rope"]


def test_the_loss_is_that_of_compare():
    import fair
    from training import validate

    model = small("rope")
    losses = fair.group_losses(model, fair.held_out_pieces(fair.plays(), 256))
    assert sum(losses) / 16 == pytest.approx(validate(model, 256, 256), abs=1e-5)


def test_groups_are_stretches_of_the_text(fair, monkeypatch):
    pieces = fair.held_out_pieces((None, torch.arange(5000)), 32)
    assert pieces.shape == (16, 33)
    assert torch.equal(pieces[:, 0], pieces[:, 0].sort().values)


def test_a_bigram_table_is_counted_by_hand(fair):
    """In "aabab" after a: a once, b twice; after b: a once. One more each, of 256 bytes."""
    a, b = 97, 98
    text, pieces = torch.tensor([a, a, b, a, b]), torch.tensor([[a, b, a], [a, a, b]])
    ab, aa, ba = 3 / 259, 2 / 259, 2 / 257
    expected = -(2 * math.log(ab) + math.log(aa) + math.log(ba)) / 4
    found = fair.bigram_loss((text.to(torch.uint8), None), pieces)
    assert found == pytest.approx(expected)


def test_another_text_and_name(fair, tuned, tmp_path, run_here):
    """As a larger comparison on a GPU is started; the last tenth of the text is held out."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "some.txt").write_bytes(b"ab" * 900 + b"xy" * 100)
    more = ["--name", "other", "--text", "some.txt"]
    tune(fair, run_here, [*tuned, *more], "rope")
    run_here("fair", *TINY, "--encodings", "rope", *more, *tuned)
    runs = stored(tmp_path, "other")
    assert {run["text"] for run in [*runs, *stored(tmp_path, "other_tune")]} == {"some.txt"}
    assert all(run["bigram"] > 5 for run in runs)  # x and y were never seen


FAIR = [name for name in ("fair_tune", "fair") if name in results.stored()]


@pytest.mark.parametrize("name", FAIR)
def test_stored_runs_begin_where_the_script_begins(name):
    """Before the first step: the same weights, encoding, attention and held-out text as then."""
    import fair
    from training import validate

    runs = results.load(name)["runs"]
    kinds = {(run["encoding"], run["length"]): run for run in reversed(runs)}
    for kind, run in kinds.items():
        loss = validate(fair.build(run), run["length"], 8192 // run["length"])
        assert loss == pytest.approx(run["curve"][0][1], abs=2e-3), kind
        pieces = fair.held_out_pieces(fair.plays(), run["length"])
        assert run["bigram"] == pytest.approx(fair.bigram_loss(fair.plays(), pieces), abs=1e-4)
