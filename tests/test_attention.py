"""Attention spelled out, held to PyTorch's own."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from rope_lib.attention import attention, attention_weights
from rope_lib.rotary import RotaryEmbedding


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
    ],
)
def test_bad_calls_are_named(changed, error, message):
    call = dict(q=torch.ones(3, 6), k=torch.ones(3, 6), v=torch.ones(3, 6)) | changed
    with pytest.raises(error, match=message):
        attention(**call)
