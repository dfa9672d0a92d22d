"""How pairs are shared out among axes, against loops that say it one pair at a time."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rope_lib import Axes, RotaryEmbedding, axes, inverse_frequencies, rotation_tables
from rope_lib.models import sharing
from rope_lib.models.sharing import SHARED_OUT

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=4)
counts = st.integers(1, 4)
shares = st.integers(1, 6)


@given(sizes=sizes)
def test_sections(sizes):
    """Pair ``j`` stands on rung ``j``, and belongs to the first axis whose section reaches it."""
    shared = axes.sections(sizes)
    assert shared.width == 2 * sum(sizes)
    assert shared.step == tuple(range(sum(sizes)))
    for pair, axis in enumerate(shared.axis):
        assert sum(sizes[:axis]) <= pair < sum(sizes[: axis + 1])


@given(sizes=sizes)
def test_interleaved_sections(sizes):
    """Axis ``a`` has the pairs ``a, a + count, ...``, so many as its size says; axis 0 the rest."""
    count, pairs = len(sizes), sum(sizes)
    wanted = {axis: [axis + count * n for n in range(sizes[axis])] for axis in range(1, count)}
    if any(pair >= pairs for own in wanted.values() for pair in own):
        with pytest.raises(ValueError, match="cannot be interleaved"):
            axes.sections(sizes, interleaved=True)
        return
    shared = axes.sections(sizes, interleaved=True)
    for axis, own in wanted.items():
        assert [pair for pair in range(pairs) if shared.axis[pair] == axis] == own
    assert shared.axis.count(0) == sizes[0]
    assert (shared.step, shared.width) == (tuple(range(pairs)), 2 * pairs)


@given(pairs=shares, count=counts, blocks=st.booleans())
def test_axial(pairs, count, blocks):
    """Axis by axis, each down a ladder of its own from the top."""
    shared = axes.axial(2 * pairs * count, count, blocks=blocks)
    assert (shared.width, shared.count) == (2 * pairs, count)
    assert shared.blocks == (count if blocks else 1)
    for pair in range(pairs * count):
        assert (shared.axis[pair], shared.step[pair]) == (pair // pairs, pair % pairs)


@given(pairs=shares, count=counts)
def test_alternating(pairs, count):
    """The rungs of one ladder are dealt out; then each axis has its own pairs side by side."""
    shared = sharing.alternating(2 * pairs * count, count)
    assert shared.width == 2 * pairs * count
    owner = {step: step % count for step in range(pairs * count)}
    assert dict(zip(shared.step, shared.axis, strict=True)) == owner
    assert list(shared.axis) == sorted(shared.axis)
    for axis in range(count):
        own = [step for step, one in zip(shared.step, shared.axis, strict=True) if one == axis]
        assert own == sorted(own)


WRITTEN_OUT = {
    "axial": (8, (0, 0, 1, 1), (0, 1, 0, 1), 4, 1),
    "axial, columns first": (8, (1, 1, 0, 0), (0, 1, 0, 1), 4, 1),
    "alternating": (8, (0, 0, 1, 1), (0, 2, 1, 3), 8, 1),
    "alternating ladders": (8, (1, 0, 1, 0), (0, 0, 1, 1), 4, 1),
    "alternating in place": (8, (0, 1, 0, 1), (0, 1, 2, 3), 8, 1),
    "blocks": (8, (0, 0, 1, 1), (0, 1, 0, 1), 4, 2),
    "sections": ((1, 2, 1), (0, 1, 1, 2), (0, 1, 2, 3), 8, 1),
    "interleaved sections": ((2, 1, 1), (0, 1, 2, 0), (0, 1, 2, 3), 8, 1),
    "rows and columns, then time": ((1, 1, 2), (1, 2, 0, 0), (0, 1, 2, 3), 8, 1),
}


@pytest.mark.parametrize("name", SHARED_OUT)
def test_every_named_kind_written_out(name):
    argument, axis, step, width, blocks = WRITTEN_OUT[name]
    assert SHARED_OUT[name](argument) == Axes(axis, step, width, blocks)


def turned_by_hand(x, positions, rope):
    """One pair at a time: which two numbers, which axis, which rung, then sine and cosine."""
    shared, result = rope.axes, x.clone()
    ladder = inverse_frequencies(shared.width, rope.base).tolist()
    each = rope.rotary_dim // shared.blocks  # numbers in a block
    start = rope.head_dim - rope.rotary_dim if rope.rotated == "last" else 0
    for row in range(x.shape[0]):
        for pair in range(rope.rotary_dim // 2):
            block, inside = divmod(pair, each // 2)
            if rope.pairing == "half":
                a, b = inside, inside + each // 2
            else:
                a, b = 2 * inside, 2 * inside + 1
            a, b = start + block * each + a, start + block * each + b
            angle = positions[shared.axis[pair]][row].item() * ladder[shared.step[pair]]
            cos, sin = math.cos(angle), math.sin(angle)
            result[row, a] = x[row, a] * cos - x[row, b] * sin
            result[row, b] = x[row, a] * sin + x[row, b] * cos
    return result


@pytest.mark.parametrize("rotated", ["first", "last"])
@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("name", SHARED_OUT)
def test_heads_are_turned_pair_by_pair(name, pairing, rotated):
    shared = SHARED_OUT[name](WRITTEN_OUT[name][0])
    rope = RotaryEmbedding(10, pairing=pairing, rotary_dim=8, rotated=rotated, axes=shared, base=50)
    x = torch.randn(5, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positions = torch.randint(0, 99, (shared.count, 5), generator=torch.Generator().manual_seed(1))
    expected = turned_by_hand(x, positions, rope)
    torch.testing.assert_close(rope(x, x, positions)[0], expected, rtol=0, atol=1e-12)
    for shape in ((1, 5, 10), (1, 1, 5, 10), (1, 1, 1, 5, 10)):
        deep = rope(x.reshape(shape), x.reshape(shape), positions)[0]
        torch.testing.assert_close(deep.reshape(5, 10), expected, rtol=0, atol=1e-12)


def test_rows_of_their_own():
    rope = RotaryEmbedding(8, pairing="half", axes=axes.axial(8, blocks=True))
    q = torch.randn(2, 3, 4, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    positions = torch.randint(0, 50, (2, 2, 1, 4), generator=torch.Generator().manual_seed(1))
    together, _ = rope(q, q, positions)
    for row in range(2):
        alone, _ = rope(q[row], q[row], positions[:, row, 0])
        torch.testing.assert_close(together[row], alone, rtol=0, atol=1e-15)


def test_equal_positions_on_all_axes_of_one_ladder_are_a_text():
    """M-RoPE on text is RoPE: Qwen2-VL (arXiv 2409.12191), section 2.1."""
    plain = RotaryEmbedding(16, pairing="half")
    text = torch.arange(7)
    for shared in (axes.sections([2, 3, 3]), axes.sections([4, 2, 2], interleaved=True)):
        rope = RotaryEmbedding(16, pairing="half", axes=shared)
        for one, two in zip(rope.tables(text.expand(3, 7)), plain.tables(text), strict=True):
            assert torch.equal(one, two)


def test_cached_keys_move_with_their_axes():
    rope = RotaryEmbedding(8, pairing="half", axes=axes.axial(8, blocks=True), clockwise=True)
    k = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    old, new = torch.randint(0, 30, (2, 2, 5), generator=torch.Generator().manual_seed(2))
    moved = rope.rerotate(rope(k, k, old)[1], old, new)
    torch.testing.assert_close(moved, rope(k, k, new)[1], rtol=0, atol=1e-13)


def test_it_shows_what_it_is():
    assert repr(axes.sections([1, 2, 1])) == (
        "<4 pairs of a ladder of 8: 1 to axis 0, 2 to axis 1, 1 to axis 2>"
    )
    assert repr(axes.axial(8, blocks=True)).endswith("2 to axis 1, in 2 blocks>")


BAD = [
    (lambda: Axes((0, 1), (0,), 4), ValueError, "axis and step must hold one number a pair"),
    (lambda: Axes((), (), 4), ValueError, "axis and step must hold one number a pair, got 0 and 0"),
    (lambda: Axes((0, 1), (0, 2), 4), ValueError, r"step must lie in 0..1, got \(0, 2\)"),
    (lambda: Axes((0, 1), (0, -1), 4), ValueError, "step must lie in 0..1"),
    (lambda: Axes((0, 2), (0, 1), 4), ValueError, "axis must name every axis from 0 up"),
    (lambda: Axes((1, 1), (0, 1), 4), ValueError, "axis must name every axis from 0 up"),
    (lambda: Axes((0, -1), (0, 1), 4), ValueError, "axis must name every axis from 0 up"),
    (lambda: Axes((0, 0, 0), (0, 1, 2), 6, 2), ValueError, "blocks must divide 3 pairs, got 2"),
    (lambda: Axes((0, 0), (0, 1), 4, 0), ValueError, "blocks must be at least 1"),
    (lambda: Axes((0, 0), (0, 1), 4, 1.0), TypeError, "blocks must be an integer"),
    (lambda: Axes((0, 0), (0, 1), 3), ValueError, "width must be even"),
    (lambda: Axes((0.0, 1.0), (0, 1), 4), TypeError, "axis must hold integers, got 0.0"),
    (lambda: Axes((0, True), (0, 1), 4), TypeError, "axis must hold integers, got True"),
    (lambda: Axes((0, 1), (0.5, 1), 4), TypeError, "step must hold integers, got 0.5"),
    (lambda: Axes("01", (0, 1), 4), TypeError, "axis must be tuple or list, got '01'"),
    (lambda: axes.axial([16, 7]), ValueError, "rotary_dim must be even"),
    (lambda: axes.axial([]), ValueError, "sizes must hold one number an axis"),
    (lambda: Axes((0, 1), None, 4), TypeError, "step must be tuple or list, got None"),
    (lambda: axes.sections([]), ValueError, "sizes must hold one number an axis"),
    (lambda: axes.sections(8), TypeError, "sizes must be list or tuple, got 8"),
    (lambda: axes.sections([4, 0]), ValueError, "sizes must be at least 1, got 0"),
    (lambda: axes.sections([4, 2.0]), TypeError, "sizes must be an integer, got 2.0"),
    (lambda: axes.sections([1, 3], interleaved=True), ValueError, r"sizes \(1, 3\) cannot be"),
    (lambda: axes.sections([1, 3], interleaved="no"), TypeError, "interleaved must be bool"),
    (lambda: axes.axial(6), ValueError, "rotary_dim must be a multiple of 2 . count = 4, got 6"),
    (lambda: axes.axial(7), ValueError, "rotary_dim must be even"),
    (lambda: axes.axial(8.0), TypeError, "rotary_dim must be an integer"),
    (lambda: axes.axial(8, 0), ValueError, "count must be at least 1"),
    (lambda: axes.axial(8, blocks=2), TypeError, "blocks must be bool, got 2"),
    (lambda: sharing.alternating(10), ValueError, "rotary_dim must be a multiple"),
    (lambda: sharing.alternating(8, True), TypeError, "count must be an integer"),
    (lambda: SHARED_OUT["rows and columns, then time"]([1, 2, 3]), ValueError, "equally many"),
    (lambda: RotaryEmbedding(8, pairing="half", axes=axes.axial(4)), ValueError, "share out 4 "),
    (lambda: RotaryEmbedding(8, pairing="half", axes="axial"), TypeError, "axes must be Axes"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "error", "message"), BAD, ids=range(len(BAD)))
def test_a_wrong_value_is_refused_and_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("positions", [torch.arange(4), torch.zeros(3, 4), torch.tensor(1)])
def test_positions_without_their_axes_are_refused(positions):
    rope = RotaryEmbedding(8, pairing="half", axes=axes.axial(8))
    q = torch.ones(1, 4, 8)
    with pytest.raises(ValueError, match="positions must have the 2 axes as their first dimension"):
        rope(q, q, positions)
    with pytest.raises(ValueError, match="positions must have the 2 axes as their first dimension"):
        rope.tables(positions)


@pytest.mark.parametrize("widths", [[16, 56, 56], [44, 42, 42], (2, 6)])
def test_ladders_of_unequal_width(widths):
    """diffusers#12538, Flux and Wan: every axis has the very frequencies of its own width."""
    rope = RotaryEmbedding(sum(widths), pairing="interleaved", axes=axes.axial(widths))
    positions = torch.randint(0, 1000, (len(widths), 9))
    tables = rope.tables(positions, torch.float64)
    alone = [
        rotation_tables(row, inverse_frequencies(width), torch.float64)
        for row, width in zip(positions, widths, strict=True)
    ]
    for found, parts in zip(tables, zip(*alone, strict=True), strict=True):
        assert torch.equal(found, torch.cat(parts, dim=-1))


def test_lists_where_json_has_lists():
    assert Axes([0, 1], [0, 1], 4) == Axes((0, 1), (0, 1), 4)
