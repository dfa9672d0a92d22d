"""Attention spelled out, held to PyTorch's own."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from rope_lib import RotaryEmbedding
from rope_lib.course.attention import attention, attention_weights
from rope_lib.course.encodings import ALiBi, Learned, NoPosition, Sinusoidal, T5Bias


def heads(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_agrees_with_pytorch(causal):
    q, k, v = heads(3, 2, 4, 7, 6)
    ours = attention(q, k, v, causal=causal)
    torch.testing.assert_close(ours, scaled_dot_product_attention(q, k, v, is_causal=causal))


def test_causal_queries_of_a_cache_are_the_last_ones():
    q, k, v = heads(3, 1, 2, 7, 6)
    whole = attention(q, k, v, causal=True)
    torch.testing.assert_close(attention(q[..., 4:, :], k, v, causal=True), whole[..., 4:, :])


def test_rows_are_shares():
    weights = attention_weights(*heads(2, 3, 5, 4), causal=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 5, dtype=torch.float64))
    assert (weights >= 0).all()
    assert torch.equal(weights, weights.tril())


@pytest.mark.parametrize("causal", [False, True])
def test_an_encoding_is_applied_to_queries_and_keys_only(causal):
    q, k, v = heads(3, 2, 5, 8)
    rope = RotaryEmbedding(8, pairing="half")
    ours = attention(q, k, v, encoding=rope, positions=torch.arange(5) + 9, causal=causal)
    turned = rope(q, k, torch.arange(5))
    torch.testing.assert_close(
        ours, scaled_dot_product_attention(*turned, v, is_causal=causal)
    )  # and shifting all positions by 9 changed nothing
    torch.testing.assert_close(attention(q, k, v, encoding=rope, causal=causal), ours)


def encodings(heads=2, width=8):
    torch.manual_seed(0)
    return {
        "none": NoPosition(),
        "sinusoidal": Sinusoidal(width),
        "learned": Learned(64, width).double(),
        "t5": T5Bias(heads, bidirectional=True).double(),
        "alibi": ALiBi(heads),
        "rope": RotaryEmbedding(width, pairing="half"),
        "function": lambda q, k, positions: (q * positions[:, None], k + 1),
    }


@given(st.sampled_from(sorted(encodings())), st.booleans(), st.booleans(), st.integers(0, 40))
def test_every_encoding_agrees_with_pytorch(name, causal, masked, first):
    encoding, positions = encodings()[name], torch.arange(7) + first
    q, k, v = heads(3, 3, 2, 7, 8, seed=first)
    mask = (heads(3, 1, 7, 7, seed=1) > -0.5) | torch.eye(7, dtype=torch.bool)
    allowed = mask if masked else torch.ones(7, 7, dtype=torch.bool)
    allowed = allowed.tril() if causal else allowed
    bias = encoding.bias(positions, positions) if hasattr(encoding, "bias") else None
    scores = torch.zeros(3, 2, 7, 7) if bias is None else bias.expand(3, 2, 7, 7)
    expected = scaled_dot_product_attention(
        *encoding(q, k, positions), v, attn_mask=scores.double().where(allowed, -torch.inf)
    )
    ours = attention(
        q, k, v, encoding=encoding, positions=positions, mask=mask if masked else None,
        causal=causal,
    )  # fmt: skip
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("name", encodings())
def test_one_token_at_a_time_with_a_cache_equals_the_whole(name):
    """Keys are cached as they were before the encoding, which sees the positions of all of them."""
    encoding, positions = encodings()[name], torch.arange(6) + 9
    q, k, v = heads(3, 2, 6, 8)
    whole = attention(q, k, v, encoding=encoding, positions=positions, causal=True)
    for end in range(1, 7):
        cached = (q[:, end - 1 : end], k[:, :end], v[:, :end])
        step = attention(*cached, encoding=encoding, positions=positions[:end], causal=True)
        torch.testing.assert_close(step, whole[:, end - 1 : end])
    none = attention(q[:, 6:], k, v, encoding=encoding, positions=positions, causal=True)
    assert none.shape == (2, 0, 8)


def test_without_positions_the_queries_of_a_cache_are_the_last_of_them():
    q, k, v = heads(3, 2, 6, 8)
    rope = RotaryEmbedding(8, pairing="half")
    whole = attention(q, k, v, encoding=rope, causal=True)
    torch.testing.assert_close(attention(q[:, 4:], k, v, encoding=rope, causal=True), whole[:, 4:])


def test_a_module_with_a_bias_that_is_no_function_is_asked_for_none():
    class Shift(torch.nn.Module):
        bias = torch.ones(3)

        def forward(self, q, k, positions):
            return q, k

    q, k, v = heads(3, 2, 5, 8)
    torch.testing.assert_close(attention(q, k, v, encoding=Shift()), attention(q, k, v))


def test_a_query_that_may_look_nowhere_gets_zeros_and_so_do_its_gradients():
    """As PyTorch's own, and unlike a softmax of minus infinities, which poisons every gradient."""
    q, k, v = (x.requires_grad_() for x in heads(3, 2, 5, 8).unbind())
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[1] = False
    ours = attention(q, k, v, encoding=ALiBi(2), mask=mask, causal=True)
    assert torch.equal(ours[:, 1], torch.zeros(2, 8, dtype=torch.float64))
    with torch.autograd.set_detect_anomaly(True):  # no NaN on the way, either
        ours.sum().backward()
    assert all(x.grad.isfinite().all() for x in (q, k, v))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_bias_leaves_the_dtype(dtype):
    q, k, v = heads(3, 2, 5, 8).to(dtype)
    assert attention(q, k, v, encoding=ALiBi(2)).dtype == dtype


def test_weights_alone_refuse_two_devices_and_heads_that_do_not_fit():
    """PyTorch multiplies a CPU tensor with a meta tensor, and returns garbage."""
    with pytest.raises(ValueError, match="q is on cpu but k on meta"):
        attention_weights(torch.ones(3, 6), torch.ones(3, 6, device="meta"))
    with pytest.raises(ValueError, match=r"q and k must broadcast .* \(6, 3, 4\) and \(2, 3, 4\)"):
        attention_weights(torch.ones(6, 3, 4), torch.ones(2, 3, 4))


@pytest.mark.parametrize("shape", [(2, 1, 3, 6), (4, 3, 6)])
def test_one_key_head_serves_all_queries_and_one_batch_of_keys_all_batches(shape):
    q, k, v = heads(2, 4, 3, 6), heads(*shape, seed=1), heads(*shape, seed=2)
    repeated = [x.expand(2, 4, 3, 6) for x in (k, v)]
    torch.testing.assert_close(attention(q, k, v), scaled_dot_product_attention(q, *repeated))


def test_positions_count_from_zero_where_none_are_given():
    seen = []

    def encoding(q, k, positions):
        seen.extend(positions.tolist())
        return q, k

    attention(*heads(3, 2, 5, 8), encoding=encoding)
    assert seen == [0, 1, 2, 3, 4]


def test_everything_is_made_where_the_queries_are():
    q, k, v = heads(3, 2, 5, 8).to("meta")
    rope = RotaryEmbedding(8, pairing="half")
    assert attention(q, k, v, encoding=rope, causal=True).device == q.device


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(q=torch.ones(3, 4)), ValueError, "q and k must share head_dim"),
        (
            dict(v=torch.ones(3, 6).double()),
            TypeError,
            "q and v must have one dtype, got .*float64",
        ),
        (dict(q=torch.ones(6, 3, 6), k=torch.ones(2, 3, 6)), ValueError, "q and k must broadcast"),
        (dict(k=torch.ones(6, 3, 6), v=torch.ones(2, 3, 6)), ValueError, "k and v must broadcast"),
        (dict(q=torch.ones(6, 3, 6), v=torch.ones(2, 3, 6)), ValueError, "q and v must broadcast"),
        (dict(q=torch.ones(3, 6, device="meta")), ValueError, "q is on meta but v on cpu"),
        (dict(v=torch.ones(3, 6, device="meta")), ValueError, "q is on cpu but v on meta"),
        (dict(k=torch.ones(3, 6, device="meta")), ValueError, "k is on meta but v on cpu"),
        (dict(v=[1.0]), TypeError, "v must be a torch.Tensor, got list"),
        (dict(k=[1.0]), TypeError, "k must be a torch.Tensor, got list"),
        (dict(v=torch.ones(2, 6)), ValueError, "v must hold 3 rows, one a key"),
        (dict(positions=torch.arange(3)), ValueError, "positions were given, but encoding is None"),
        (dict(q=torch.ones(4, 6), causal=True), ValueError, "a key for each query, got 4 and 3"),
        (dict(q=torch.ones(6)), ValueError, "q must have at least 2 dimension"),
        (dict(mask=torch.ones(3, 3)), TypeError, "mask must be bool, .* got torch.float32"),
        (dict(mask=[True]), TypeError, "mask must be a torch.Tensor, got list"),
        (dict(mask=torch.ones(2, 3).bool()), ValueError, r"mask .* \(3, 3\); got shape \(2, 3\)"),
        (dict(mask=torch.ones(1, 3, 3).bool()), ValueError, "mask must broadcast to the scores"),
        (dict(mask=torch.ones(3, 3, device="meta").bool()), ValueError, "mask is on meta but"),
        (dict(encoding=ALiBi(2)), ValueError, r"bias must broadcast .* got shape \(2, 3, 3\)"),
        (
            dict(q=torch.ones(4, 6), encoding=NoPosition()),
            ValueError,
            "an encoding needs a key for each query, got 4 and 3",
        ),
        (
            dict(q=torch.ones(2, 6), encoding=NoPosition(), positions=torch.arange(2)),
            ValueError,
            "positions must hold 3 numbers, one a key",
        ),
        (
            dict(q=torch.ones(2, 6), encoding=NoPosition(), positions=[0, 1, 2]),
            TypeError,
            "positions must be a torch.Tensor, got list",
        ),
    ],
)
def test_bad_calls_are_named(changed, error, message):
    call = dict(q=torch.ones(3, 6), k=torch.ones(3, 6), v=torch.ones(3, 6)) | changed
    with pytest.raises(error, match=message):
        attention(**call)
