"""Measuring a rotation function by calling it: blocks, frequencies, and what is no rotation."""

import pytest
import torch

from rope_lib import RotaryEmbedding
from rope_lib.models.probe import (
    Calls,
    NoRotationError,
    check_calls,
    find_blocks,
    matrices,
    measure_speeds,
)


def measured(function, head_dim):
    calls = Calls(function, head_dim)
    check_calls(calls)
    blocks = find_blocks(matrices(calls))
    return calls, blocks, measure_speeds(calls, blocks, 2**17)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("layout", ["bhsd", "bshd", "sbhd"])
@pytest.mark.parametrize("head_dim", [4, 64])
def test_pairs_layout_and_frequencies_are_measured(pairing, layout, head_dim):
    rope = RotaryEmbedding(head_dim, pairing=pairing, layout=layout, base=500_000.0)
    calls, blocks, speeds = measured(lambda x, p: rope(x, None, p)[0], head_dim)
    assert calls.axis == layout.index("s")
    step = 1 if pairing == "interleaved" else head_dim // 2
    assert (blocks.inputs[:, 1] - blocks.inputs[:, 0] == step).all()
    expected = rope.base ** (-torch.arange(0, head_dim, 2).double() / head_dim)
    torch.testing.assert_close(speeds.frequencies, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, p: x, "turns nothing"),
        (lambda x, p: x.tanh() * (p + 1)[:, None], "not linear"),
        (lambda x, p: x + torch.randn_like(x), "different results"),
        (lambda x, p: x.cumsum(-2), "depends on others"),
    ],
)
def test_what_is_no_rotation_is_said(function, said):
    with pytest.raises(NoRotationError, match=said):
        measured(function, 8)
