"""length_controls.py and its attention, held to loops over pairs of tokens and of numbers."""

import json
import math

import pytest
import torch

from experiment_runs import stored
from rope_lib import RotaryEmbedding, inverse_frequencies
from rope_lib.course.decoder import causal_attention

pytestmark = pytest.mark.usefixtures("scripts")
LENGTH, WIDTH = 12, 8  # trained length, numbers of a head
TINY = ["--length", "16", "--steps", "2", "--pieces", "2", "--width", "32", "--layers", "1",
        "--heads", "2", "--seeds", "5"]  # fmt: skip


def heads(seq=30, seed=0):
    torch.manual_seed(seed)
    return torch.randn(3, 2, 2, seq, WIDTH).unbind()


def frequencies():
    return inverse_frequencies(WIDTH, 100.0)  # wavelengths 6.3, 20, 63 and 199 tokens


def by_loops(q, k, v, distance=lambda m, n, pair: m - n, sees=lambda m, n: True, scale=None):
    """Each score as a sum over pairs of ``Re(q conj(k) exp(i theta distance))``."""
    half, found = WIDTH // 2, torch.zeros_like(v)
    q, k = (torch.complex(x[..., :half].double(), x[..., half:].double()) for x in (q, k))
    for m in range(v.shape[-2]):
        keys = [n for n in range(m + 1) if sees(m, n)]
        scores = []
        for n in keys:
            angle = [frequencies()[p].item() * distance(m, n, p) for p in range(half)]
            product = q[:, :, m] * k[:, :, n].conj() * torch.polar(
                torch.ones(half).double(), torch.tensor(angle).double()
            )  # fmt: skip
            scores.append(product.real.sum(-1) / math.sqrt(WIDTH))
        scores = torch.stack(scores, dim=-1) * (1 if scale is None else scale(m))
        found[:, :, m] = torch.einsum("bhn,bhnd->bhd", scores.softmax(-1).float(), v[:, :, keys])
    return found


def read(**how):
    from mixers import ReadRope

    return ReadRope(frequencies(), **how)


@pytest.fixture(autouse=True)
def few_rows(scripts, monkeypatch):
    """Several blocks of queries even for short texts."""
    import mixers

    monkeypatch.setattr(mixers, "ROWS", 7)


# The attention


def test_with_nothing_set_it_is_rope():
    q, k, v = heads()
    rope = RotaryEmbedding(WIDTH, pairing="half", base=100.0)
    expected = causal_attention(q, k, v, encoding=rope)
    torch.testing.assert_close(read()(q, k, v), expected)
    torch.testing.assert_close(by_loops(q, k, v), expected)


@pytest.mark.parametrize("largest", [0, 5, LENGTH - 1, 28, 100])
def test_distances_are_clamped(largest):
    expected = by_loops(*heads(), distance=lambda m, n, pair: min(m - n, largest))
    torch.testing.assert_close(read(largest=largest)(*heads()), expected)


@pytest.mark.parametrize("slow", [True, False])
def test_distances_are_clamped_in_some_pairs(slow):
    chosen = [False, True, True, True] if slow else [True, False, False, False]

    def distance(m, n, pair):
        return min(m - n, LENGTH - 1) if chosen[pair] else m - n

    expected = by_loops(*heads(), distance=distance)
    ours = read(largest=LENGTH - 1, pairs=torch.tensor(chosen))(*heads())
    torch.testing.assert_close(ours, expected)


def test_scores_grow_like_the_logarithm_of_the_number_of_keys():
    expected = by_loops(*heads(), scale=lambda m: max(1.0, math.log(m + 1) / math.log(LENGTH)))
    torch.testing.assert_close(read(trained=LENGTH)(*heads()), expected)
    clamped = by_loops(
        *heads(),
        distance=lambda m, n, pair: min(m - n, LENGTH - 1),
        scale=lambda m: max(1.0, math.log(m + 1) / math.log(LENGTH)),
    )
    torch.testing.assert_close(read(trained=LENGTH, largest=LENGTH - 1)(*heads()), clamped)


def chosen_by_hand(m, near, far):
    """The positions that a query at ``m`` sees."""
    if m < near + far:
        return set(range(m + 1))
    last = m - near
    spaced = {math.floor(j * last / (far - 1) + 1e-9) for j in range(far)}
    return spaced | set(range(last + 1, m + 1))


@pytest.mark.parametrize("largest", [None, LENGTH - 1])
def test_only_few_keys_are_seen(largest):
    near, far = 7, 5

    def distance(m, n, pair):
        return m - n if largest is None else min(m - n, largest)

    expected = by_loops(
        *heads(), distance=distance, sees=lambda m, n: n in chosen_by_hand(m, near, far)
    )
    torch.testing.assert_close(read(near=near, far=far, largest=largest)(*heads()), expected)


def test_as_many_keys_are_seen_as_in_training():
    from mixers import spread_keys

    places = torch.arange(2048)
    seen = spread_keys(places, places, 128, 128) & (places[:, None] >= places)
    assert torch.equal(seen.sum(1), (places + 1).clamp(max=256))
    assert seen[300:, 0].all()  # the first of the text
    gaps = seen[2047].nonzero().flatten().diff()
    assert (gaps[127:] == 1).all()
    assert set(gaps[:127].tolist()) == {15, 16}


# The script


def run_of(way, encoding="rope", factor=1, **other):
    return {"encoding": encoding, "way": way, "factor": factor, "seed": 0, "start": 0.5,
            "width": 64, "layers": 2, "heads": 2, "length": 256, "pieces": 2,
            "contexts": [256, 512]} | other  # fmt: skip


def test_the_scores_are_those_of_length():
    import length
    import length_controls as controls

    run = run_of("plain", contexts=[256, 2048])
    model = controls.build(run)
    for context in run["contexts"]:
        losses = controls.piece_losses(model, run, context)
        assert losses.shape == (2,)
        assert losses.mean().item() == pytest.approx(length.score(model, context, 2), abs=1e-5)


def strong(run):
    """A model whose attention matters."""
    import length_controls as controls

    model = controls.build(run)
    for block in model.blocks:
        block.qkv.weight.data.mul_(20)
    return model


def test_every_way_changes_how_long_texts_are_read():
    import length_controls as controls

    run = run_of("plain")
    plain = [controls.piece_losses(strong(run), run, context) for context in run["contexts"]]
    seen = [plain[1]]
    for way, factor in controls.WAYS:
        run = run_of(way, factor=factor)
        losses = []
        for context in run["contexts"]:
            model = strong(run)
            controls.change(model, run, context)
            losses.append(controls.piece_losses(model, run, context))
        same = (*controls.MIXERS, "dynamic_ntk")  # nothing changes at the trained length
        expected = way in same and way != "clamped_at_half"
        assert torch.allclose(losses[0], plain[0], atol=1e-4) == expected, way
        assert not any(torch.allclose(losses[1], other, atol=1e-6) for other in seen), way
        seen.append(losses[1])


def test_the_slow_pairs_are_those_that_do_not_finish_a_turn():
    """At 256 tokens and 32 numbers a head, nine of sixteen."""
    import length_controls as controls

    run = run_of("slow_pairs_clamped", width=128, heads=4)
    assert controls.turning_share(run) == 7 / 16
    plain = inverse_frequencies(32)
    assert 2 * math.pi / plain[6] <= 256 < 2 * math.pi / plain[7]
    slow, fast = (controls.mixer_of(run | {"way": f"{which}_pairs_clamped"}).pairs
                  for which in ("slow", "fast"))  # fmt: skip
    assert slow.tolist() == [False] * 7 + [True] * 9
    assert torch.equal(fast, ~slow)
    frozen = controls.mixer_of(run | {"encoding": "rope_frozen", "way": "clamped"}).inv_freq
    assert torch.equal(frozen, torch.where(slow, 0.0, plain))


def test_frozen_pairs_do_not_turn_after_or_in_training():
    import length_controls as controls

    run = run_of("slow_pairs_frozen", width=128, heads=4)
    after = controls.build(run)
    controls.change(after, run, 512)
    within = controls.build(run | {"encoding": "rope_frozen"})
    q = torch.randn(1, 4, 500, 32)
    for model in (after, within):
        turned, _ = model.encoding(q, q, torch.arange(500))
        pairs = torch.arange(32) % 16
        assert torch.equal(turned[..., pairs >= 7], q[..., pairs >= 7])
        full, _ = RotaryEmbedding(32, pairing="half")(q, q, torch.arange(500))
        torch.testing.assert_close(turned[..., pairs < 7], full[..., pairs < 7])


def test_each_encoding_is_trained_at_the_rates_of_fair(tmp_path, tuned, run_here):
    with pytest.raises(SystemExit, match=r"fair_tune\.json is missing.*fair\.py with --tune first"):
        run_here("length_controls", *TINY, *tuned)
    # At another length other rates are best, and losses are lower.
    searched = [
        {"encoding": encoding, "length": length, "start": 0.1, "learning_rate": rate, "own": own,
         "loss": 2 + (rate != best[length == 64]) - (own == 16) / 10 - (length == 64)}
        for encoding, best in (
            ("rope", (0.004, 0.002)), ("alibi", (0.008, 0.002)), ("t5", (0.002, 0.008))
        )
        for length in (16, 64)
        for rate in (0.002, 0.004, 0.008)
        for own in ((4.0, 16.0) if encoding == "t5" else (1.0,))
    ]  # fmt: skip
    (tmp_path / "fair_tune.json").write_text(json.dumps({"runs": searched}))
    run_here("length_controls", *TINY, *tuned)
    runs = stored(tmp_path, "length_controls")
    import length_controls as controls

    plain = [run for run in runs if run["way"] == "plain"]
    assert [run["encoding"] for run in plain] == list(controls.ENCODINGS)
    assert [run["learning_rate"] for run in plain] == [0.004, 0.008, 0.002, 0.004]
    assert [run["own"] for run in plain] == [1.0, 1.0, 16.0, 1.0]
    trained = torch.load(tmp_path / "work" / "length_controls" / "t5-5.pt", weights_only=True)
    assert trained["settings"]["own"] == 16.0
    assert len(runs) == 4 + len(controls.WAYS) + 1
    for run in runs:
        assert run["contexts"] == [16, 32, 64, 128]
        assert ("curve" in run) == (run["way"] == "plain")
        for context, losses in run["piece_losses"].items():
            assert len(losses) == 2
            assert sum(losses) / 2 == pytest.approx(run["losses"][context], abs=1e-4)
