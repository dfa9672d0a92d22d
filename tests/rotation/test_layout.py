"""The two orders of the same numbers, and the weights that go with them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rope_lib import RotaryEmbedding, permute_projection, to_half, to_interleaved
from rope_lib.course import reference


def test_the_orders_written_out():
    assert to_half(torch.arange(8)).tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert to_interleaved(torch.arange(8)).tolist() == [0, 4, 1, 5, 2, 6, 3, 7]


@given(pairs=st.integers(1, 16), rows=st.integers(0, 3))
def test_each_undoes_the_other_exactly(pairs, rows):
    x = torch.arange(rows * 2 * pairs).reshape(rows, 2 * pairs)
    assert torch.equal(to_interleaved(to_half(x)), x)
    assert torch.equal(to_half(to_interleaved(x)), x)


@given(pairs=st.integers(1, 16))
def test_the_orders_are_the_specification_s_pairs(pairs):
    width = 2 * pairs
    reordered = to_half(torch.arange(width)).tolist()
    of_half = [(reordered[a], reordered[b]) for a, b in reference.pair_indices(width, "half")]
    assert of_half == reference.pair_indices(width, "interleaved")


grouped = st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)])


@given(heads=grouped, pairs=st.integers(1, 6), still=st.integers(0, 4), seed=st.integers(0, 999))
def test_scores_stay_when_weights_and_pairing_change_together(heads, pairs, still, seed):
    """transformers#25199, gpt-fast#190: grouped queries, partial rotation and biases included."""
    generator = torch.Generator().manual_seed(seed)
    rotary_dim, seq, width_in = 2 * pairs, 5, 7
    head_dim = rotary_dim + still
    x = torch.randn(seq, width_in, generator=generator, dtype=torch.float64)
    q_heads, kv_heads = heads

    def parameters(count):
        rows = count * head_dim
        return [
            torch.randn(rows, *rest, generator=generator).double() for rest in ((width_in,), ())
        ]

    query, key = parameters(q_heads), parameters(kv_heads)

    def scores(query, key, pairing):
        def project(weight_and_bias, count):
            rows = torch.nn.functional.linear(x, *weight_and_bias)
            return rows.unflatten(-1, (count, head_dim)).transpose(0, 1)

        rope = RotaryEmbedding(head_dim, pairing=pairing, rotary_dim=rotary_dim)
        q, k = rope(project(query, q_heads), project(key, kv_heads), torch.arange(seq) * 11)
        return q @ k.repeat_interleave(q_heads // kv_heads, dim=0).transpose(-1, -2)

    def permuted(parameters, count):
        return [permute_projection(p, count, to="half", rotary_dim=rotary_dim) for p in parameters]

    expected = scores(query, key, "interleaved")
    converted = permuted(query, q_heads), permuted(key, kv_heads)
    torch.testing.assert_close(scores(*converted, "half"), expected)
    for count, before, after in zip(heads, (query, key), converted, strict=True):
        for original, moved in zip(before, after, strict=True):
            back = permute_projection(moved, count, to="interleaved", rotary_dim=rotary_dim)
            assert torch.equal(back, original)


def test_the_permutation_is_what_shipped_conversions_do():
    """The reshape-and-transpose known from LLaMA's conversion script, written out here."""
    weight = torch.arange(2 * 8 * 3).reshape(16, 3).float()
    shipped = weight.view(2, 4, 2, 3).transpose(1, 2).reshape(16, 3)
    assert torch.equal(permute_projection(weight, 2, to="half"), shipped)


def test_another_default_device_changes_nothing():
    weight = torch.arange(16.0)
    expected = permute_projection(weight, 2, to="half")
    with torch.device("meta"):
        assert torch.equal(permute_projection(weight, 2, to="half"), expected)


@pytest.mark.parametrize("reorder", [to_half, to_interleaved])
def test_bad_vectors_are_named(reorder):
    with pytest.raises(ValueError, match=r"x must have an even last dimension, got shape \(2, 3\)"):
        reorder(torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"x must have an even last dimension, got shape \(\)"):
        reorder(torch.tensor(1.0))
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, got list"):
        reorder([1, 2])
    with pytest.raises(TypeError, match=r"x must be a dense tensor, got .* torch\.sparse_coo"):
        reorder(torch.eye(4).to_sparse())


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(num_heads=3), ValueError, "num_heads must divide the 16 rows of weight; got 3"),
        (dict(num_heads=32), ValueError, "num_heads must divide the 16 rows of weight; got 32"),
        (dict(num_heads=0), ValueError, "num_heads must be at least 1, got 0"),
        (dict(num_heads=2.0), TypeError, "num_heads must be an integer"),
        (dict(num_heads=16), ValueError, "head_dim must be even.*got 1"),
        (dict(rotary_dim=3), ValueError, "rotary_dim must be even.*got 3"),
        (dict(rotary_dim=10), ValueError, "rotary_dim must be at most head_dim = 8, got 10"),
        (dict(to="gptj"), ValueError, "to must be 'interleaved' or 'half', got 'gptj'"),
        (dict(weight=torch.tensor(1.0)), ValueError, "weight must have at least 1 dimension"),
        (dict(weight=torch.ones(0, 3)), ValueError, "num_heads must divide the 0 rows of weight"),
        (dict(weight=torch.ones(4, 16, 3)), ValueError, r"1 or 2 dim.* got shape \(4, 16, 3\)"),
        (dict(weight=[1.0]), TypeError, "weight must be a torch.Tensor, got list"),
    ],
)
def test_bad_projections_are_named(changed, error, message):
    call = dict(weight=torch.ones(16, 3), num_heads=2, to="half") | changed
    with pytest.raises(error, match=message):
        permute_projection(**call)
