"""Linear attention, held to its sums written out pair by pair."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rope_lib import RotaryEmbedding
from rope_lib.course import reference
from rope_lib.course.attention import attention
from rope_lib.course.encodings import ALiBi, Learned, NoPosition, Sinusoidal, T5Bias
from rope_lib.course.linear_attention import FavorFeatures, linear_attention

BIASED = ("t5", "alibi")


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encodings(heads=2, width=8):
    torch.manual_seed(0)
    return {
        "none": NoPosition(),
        "sinusoidal": Sinusoidal(width),
        "learned": Learned(400, width).double(),
        "t5": T5Bias(heads, bidirectional=True).double(),
        "alibi": ALiBi(heads),
        "rope": RotaryEmbedding(width, pairing="half"),
    }


def feature(x):
    return torch.where(x > 0, x + 1, x.exp())


def pair_by_pair(q, k, v, above, below, allowed):
    """``above`` and ``below``: what queries and keys become where values, and ones, are weighed."""
    outer = [(f @ g.transpose(-1, -2)) * allowed for f, g in (above, below)]
    return (outer[0] @ v) / outer[1].sum(-1, keepdim=True)


@given(
    st.sampled_from(["none", "sinusoidal", "learned", "rope"]),
    st.sampled_from([None, "numerator", "both", "inputs"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2, 63, 64, 65, 130]),
)
def test_sums_are_those_of_all_pairs(name, place, causal, masked, seq):
    encoding, positions = encodings()[name], torch.arange(seq) + 5
    q, k, v = random(3, 2, seq, 8, seed=seq)
    mask = (random(seq, seq, seed=1) > 0) | torch.eye(seq, dtype=torch.bool)
    allowed = mask if masked else torch.ones_like(mask)
    allowed = allowed.tril() if causal else allowed
    ours = linear_attention(
        q, k, v, encoding=encoding, positions=positions, causal=causal, place=place,
        mask=mask if masked else None,
    )  # fmt: skip
    if place is None:
        place = "inputs" if name in ("sinusoidal", "learned") else "numerator"
    plain = feature(q), feature(k)
    turned = encoding(*plain, positions)
    inside = tuple(feature(x) for x in encoding(q, k, positions))
    above, below = {
        "numerator": (turned, plain), "both": (turned, turned), "inputs": (inside, inside),
    }[place]  # fmt: skip
    expected = pair_by_pair(q, k, v, above, below, allowed)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", BIASED)
def test_a_bias_multiplies_the_weight_by_its_exponential(name, causal):
    encoding, positions = encodings()[name], torch.arange(70) + 5
    q, k, v = random(3, 2, 70, 8)
    allowed = torch.ones(70, 70).tril() if causal else torch.ones(70, 70)
    weights = feature(q) @ feature(k).transpose(-1, -2)
    weights = weights * encoding.bias(positions, positions).exp() * allowed
    ours = linear_attention(q, k, v, encoding=encoding, positions=positions, causal=causal)
    torch.testing.assert_close(ours, weights @ v / weights.sum(-1, keepdim=True))


def test_a_large_bias_does_not_overflow():
    encoding = T5Bias(2, bidirectional=True)
    encoding.table.weight.data.mul_(1000)
    q, k, v = random(3, 2, 30, 8).float()
    assert linear_attention(q, k, v, encoding=encoding, causal=True).isfinite().all()
    assert linear_attention(q, k, v, encoding=encoding).isfinite().all()


def test_a_large_bias_on_what_may_not_be_seen_takes_nothing_from_the_rest():
    encoding = T5Bias(1, bidirectional=True)
    encoding.table.weight.data.zero_()
    encoding.table.weight.data[16:] = 1000.0  # keys ahead
    q, k, v = random(3, 1, 9, 8)
    ours = linear_attention(q, k, v, encoding=encoding, causal=True)
    torch.testing.assert_close(ours, linear_attention(q, k, v, causal=True))


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
def test_rope_turns_the_numerator_as_equation_19_of_roformer_says(pairing):
    """arXiv 2104.09864; the rotations are the explicit matrices of the specification."""
    q, k, v = random(3, 6, 8)
    f, g = feature(q), feature(k)
    above = torch.from_numpy(reference.scores(f, g, range(6), pairing=pairing))
    expected = above @ v / (f @ g.T).sum(-1, keepdim=True)
    rope = RotaryEmbedding(8, pairing=pairing)
    torch.testing.assert_close(linear_attention(q, k, v, encoding=rope), expected)


@pytest.mark.parametrize("name", ["none", "t5", "alibi", "rope"])
def test_only_distances_count(name):
    q, k, v = random(3, 2, 9, 8)
    near, far = (
        linear_attention(q, k, v, encoding=encodings()[name], positions=torch.arange(9) + first)
        for first in (0, 300)
    )
    torch.testing.assert_close(near, far)


def test_without_an_encoding_every_row_is_a_mean():
    q, k = random(2, 2, 9, 8)
    ones = torch.ones(2, 9, 3).double()
    for causal in (False, True):
        torch.testing.assert_close(linear_attention(q, k, ones, causal=causal), ones)


@pytest.mark.parametrize("name", encodings())
@pytest.mark.parametrize("seq", [6, 150])
def test_the_last_queries_with_a_cache_equal_the_whole(name, seq):
    encoding = encodings()[name]
    q, k, v = random(3, 2, seq, 8)
    whole = linear_attention(q, k, v, encoding=encoding, causal=True)
    for new in (1, 4, seq - 1):
        last = linear_attention(q[:, -new:], k, v, encoding=encoding, causal=True)
        torch.testing.assert_close(last, whole[:, -new:])


@pytest.mark.parametrize("shape", [(2, 1, 9, 6), (4, 9, 6)])
@pytest.mark.parametrize("causal", [False, True])
def test_one_key_head_serves_all_queries_and_one_batch_of_keys_all_batches(shape, causal):
    q, k, v = random(2, 4, 9, 6), random(*shape, seed=1), random(*shape, seed=2)
    repeated = [x.expand(2, 4, 9, 6) for x in (k, v)]
    ours = linear_attention(q, k, v, causal=causal)
    torch.testing.assert_close(ours, linear_attention(q, *repeated, causal=causal))


@pytest.mark.parametrize("encoding", [None, ALiBi(2)])
def test_a_query_that_may_look_nowhere_gets_zeros_and_finite_gradients(encoding):
    q, k, v = (x.requires_grad_() for x in random(3, 2, 5, 8).unbind())
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[1] = False
    ours = linear_attention(q, k, v, encoding=encoding, mask=mask)
    assert torch.equal(ours[:, 1], torch.zeros(2, 8, dtype=torch.float64))
    ours.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


@pytest.mark.parametrize("name", encodings())
def test_sixteen_bits_are_summed_in_more_and_rounded_once(name):
    """390 weights of about 1: a bfloat16 sum would stop growing at 256."""
    q, k, v = random(3, 2, 390, 8).to(torch.bfloat16)
    encoding = encodings()[name]
    exact = linear_attention(*(x.double() for x in (q, k, v)), encoding=encoding, causal=True)
    ours = linear_attention(q, k, v, encoding=encoding.to(torch.float32), causal=True)
    assert ours.dtype == torch.bfloat16
    if name not in ("sinusoidal", "learned"):  # those round their inputs once more
        torch.testing.assert_close(ours.double(), exact, atol=1e-4, rtol=2**-8)


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_and_other_devices(causal):
    q, k, v = (x.requires_grad_() for x in random(3, 5, 4).unbind())
    assert torch.autograd.gradcheck(lambda *x: linear_attention(*x, causal=causal), (q, k, v))
    meta = [x.to("meta") for x in (q, k, v)]
    assert linear_attention(*meta, causal=causal).device.type == "meta"


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(place="denominator"), ValueError, "place must be 'numerator' or 'both' or 'inputs'"),
        (dict(q=torch.ones(3, 4)), ValueError, "q and k must share head_dim"),
        (dict(v=torch.ones(2, 6)), ValueError, "v must hold 3 rows"),
        (dict(q=torch.ones(4, 6), causal=True), ValueError, "a key for each query, got 4 and 3"),
        (dict(positions=torch.arange(3)), ValueError, "encoding is None and would ignore them"),
        (dict(mask=torch.ones(3, 3)), TypeError, "mask must be bool"),
        (dict(encoding=ALiBi(2)), ValueError, "bias must broadcast to the scores"),
        (dict(q=torch.ones(6, 3, 6), k=torch.ones(2, 3, 6)), ValueError, "q and k must broadcast"),
    ],
)
def test_bad_calls_are_named(changed, error, message):
    call = dict(q=torch.ones(3, 6), k=torch.ones(3, 6), v=torch.ones(3, 6)) | changed
    with pytest.raises(error, match=message):
        linear_attention(**call)


def test_favor_features_estimate_the_softmax_weight():
    """Performer's theorem: without bias, and less noisy with more features."""
    q, k = random(2, 6, 16) / 2  # for long vectors the estimate has very heavy tails
    exact = (q @ k.T / 4).exp()
    errors = {}
    for count in (64, 1024):
        estimates = []
        for seed in range(40):
            features = FavorFeatures(16, count, seed=seed)
            estimates.append(features(q) @ features(k).T)
        estimates = torch.stack(estimates)
        noise = estimates.std(0) / 40**0.5
        assert ((estimates.mean(0) - exact).abs() < 5 * noise + 1e-3).all()
        errors[count] = ((estimates - exact) / exact).square().mean().sqrt().item()
    assert errors[1024] < 0.4 * errors[64]


def test_favor_features_are_positive_drawn_once_and_at_right_angles():
    features = FavorFeatures(8, 24, seed=1)
    x = random(5, 8)
    assert (features(x) > 0).all()
    assert (features(100 * x) > 0).all()  # however far from every row
    assert FavorFeatures(8, 20)(x).shape == (5, 20)
    assert torch.equal(features(x), FavorFeatures(8, 24, seed=1)(x))
    assert not torch.equal(features(x), FavorFeatures(8, 24, seed=2)(x))
    for block in features.rows.split(8):
        products = block @ block.T
        assert (products - products.diag().diag()).abs().max() < 1e-9
    assert features(x.float()).dtype == torch.float32


def test_favor_attention_comes_close_to_softmax_attention():
    q, k, v = random(3, 2, 40, 16) / 2
    exact = attention(q, k, v, causal=True)
    ours = linear_attention(q, k, v, causal=True, features=FavorFeatures(16, 4096))
    assert (ours - exact).square().mean() < 0.01 * exact.square().mean()


def test_features_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="head_dim must"):
        FavorFeatures(0, 4)
    with pytest.raises(ValueError, match="features must"):
        FavorFeatures(4, 0)
    with pytest.raises(ValueError, match="x must have head_dim = 4"):
        FavorFeatures(4, 8)(random(3, 6))
    q, k, v = random(3, 1, 5, 4)
    rope = RotaryEmbedding(4, pairing="half")  # turns 4 numbers, there are 8 features
    with pytest.raises(ValueError, match="8"):
        linear_attention(q, k, v, features=FavorFeatures(4, 8), encoding=rope)
