"""The text that experiments train on."""

import pytest
import torch

from rope_lib.course.text import PLAYS, shakespeare, windows


@pytest.mark.parametrize(("part", "size"), [("train", 1_036_489), ("validation", 240_108)])
def test_the_plays_are_there(part, size):
    text = shakespeare(part)
    assert (len(text), text.dtype, text.min() >= 0, text.max() <= 126) == (size, torch.int64, 1, 1)
    assert len(bytes(text.tolist()).decode("ascii").strip().split("\n\n\n")) >= len(PLAYS[part])


def test_plays_are_held_out_whole():
    """No line of some length of the held-out plays occurs among the others."""
    train, held_out = (bytes(shakespeare(part).tolist()) for part in PLAYS)
    lines = [line.strip() for line in held_out.splitlines()]
    long = [line for line in lines if len(line) > 45]
    assert len(long) > 1000
    assert sum(line in train for line in long) == 0


def test_windows_are_pieces_of_the_text():
    text = torch.arange(1000)
    pieces = windows(text, 20, 50, seed=3)
    assert pieces.shape == (50, 21)
    assert torch.equal(pieces - pieces[:, :1], torch.arange(21).expand(50, -1))
    assert torch.equal(pieces, windows(text, 20, 50, seed=3))
    assert not torch.equal(pieces, windows(text, 20, 50, seed=4))


def test_the_last_byte_can_be_drawn():
    assert windows(torch.arange(22), 20, 100, seed=0).max() == 21
    assert torch.equal(windows(torch.arange(21), 20, 2, seed=0), torch.arange(21).expand(2, -1))


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="part must"):
        shakespeare("test")
    with pytest.raises(ValueError, match="text must hold at least 21 bytes, got 20"):
        windows(torch.arange(20), 20, 1, seed=0)
