"""Causal linear attention with T5's bias in constant memory, held to the sums over all pairs."""

import pytest
import torch

from rope_lib.course.encodings import T5Bias
from rope_lib.course.linear_attention import ConstantMemory, linear_attention

NEAR = 113  # the first distance in the last bucket


def case(head_dim, seq, seed=0):
    torch.manual_seed(seed)
    bias = T5Bias(1, bidirectional=False).double()
    return bias, torch.randn(3, 1, seq, head_dim, dtype=torch.float64)


def by_distance(encoding):
    """The bias for the distances 0, 1, ..., NEAR."""
    query, keys = torch.tensor([NEAR]), torch.arange(NEAR, -1, -1)
    return encoding.bias(query, keys).detach().flatten()


def test_the_last_bucket_begins_where_it_is_said_to():
    buckets = T5Bias(1, bidirectional=False).bucket(-torch.arange(5000))
    assert (buckets[NEAR:] == buckets[-1]).all()
    assert buckets[NEAR - 1] != buckets[-1]


@pytest.mark.parametrize("seq", [1, 2, NEAR, NEAR + 1, NEAR + 2, 400])
def test_it_is_exact(seq):
    encoding, (q, k, v) = case(8, seq)
    expected = linear_attention(q, k, v, encoding=encoding, causal=True)[0]
    memory = ConstantMemory(by_distance(encoding))
    ours = torch.stack([memory.step(q[0, i], k[0, i], v[0, i]) for i in range(seq)])
    torch.testing.assert_close(ours, expected, atol=1e-13, rtol=1e-12)


def test_the_far_keys_matter():
    """So that the test above would see it if they were forgotten."""
    encoding, (q, k, v) = case(8, 400)
    expected = linear_attention(q, k, v, encoding=encoding, causal=True)[0, -1]
    near = linear_attention(
        q[:, -NEAR:], k[:, -NEAR:], v[:, -NEAR:], encoding=encoding, causal=True
    )[0, -1]
    assert (expected - near).abs().max() > 0.05


@pytest.mark.parametrize(("head_dim", "numbers"), [(32, 8_288), (64, 18_624)])
def test_its_memory_stops_growing(head_dim, numbers):
    """``head_dim`` squared for the state, ``head_dim`` for its denominator, 113 keys and values."""
    assert numbers == head_dim**2 + head_dim + NEAR * 2 * head_dim
    encoding, (q, k, v) = case(head_dim, 300)
    memory = ConstantMemory(by_distance(encoding))
    kept = []
    for i in range(300):
        memory.step(q[0, i], k[0, i], v[0, i])
        kept.append(memory.numbers())
    assert kept[NEAR - 2] < kept[NEAR - 1] == numbers
    assert set(kept[NEAR - 1 :]) == {numbers}
