"""The fast ways of turning, held to the definition; and how much memory they take."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rope_lib import arithmetic, inverse_frequencies, rotate, rotate_, rotation_tables
from rope_lib.eager import blocks, passes

PAIRINGS = ["interleaved", "half"]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def numbers(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tables(positions, width, dtype=torch.float32):
    return rotation_tables(positions, inverse_frequencies(width), dtype)


def defined(x, cos, sin, pairing):
    work = torch.promote_types(torch.promote_types(x.dtype, cos.dtype), torch.float32)
    return arithmetic.define(x, cos, sin, pairing, work)


def assert_same(result, expected):
    """Equal but for a product that was fused with a sum before it was rounded."""
    unit = torch.finfo(expected.dtype).eps
    torch.testing.assert_close(result, expected, rtol=unit, atol=4 * unit)


LAYOUTS = {
    "one row": lambda x: x[0, 0, 0],
    "one head": lambda x: x[0, 0],
    "heads": lambda x: x[0],
    "batch": lambda x: x,
    "five dimensions": lambda x: x.unsqueeze(1),
    "transposed": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "every second": lambda x: x.repeat_interleave(2, -2)[:, :, ::2],
    "an odd step": lambda x: torch.nn.functional.pad(x, (0, 1))[..., :-1],
    "an odd start": lambda x: torch.nn.functional.pad(x, (1, 1))[..., 1:-1],
    "spread": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "no batch": lambda x: x[:0],
    "no tokens": lambda x: x[:, :, :0],
}


@pytest.mark.parametrize("block", [1, 48, 2**16])
@pytest.mark.parametrize("few", [0, 2**13])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_every_way_is_the_definition(monkeypatch, pairing, layout, few, block):
    """Blocks of one row, of a few, and of everything; rows of every kind."""
    monkeypatch.setattr(blocks, "BLOCK", block)
    monkeypatch.setattr(passes, "FEW", few)
    for dtype in DTYPES:
        x = LAYOUTS[layout](numbers(2, 3, 7, 8, dtype=dtype))
        for turns in tables_that_fit(x):
            expected = defined(x, *turns, pairing)
            before = x.clone()
            result = rotate(x, *turns, pairing=pairing)
            assert result.shape == x.shape
            assert result.dtype == dtype
            assert_same(result, expected)
            assert torch.equal(x, before)
            assert rotate_(x, *turns, pairing=pairing) is x
            assert_same(x, expected)
            x.copy_(before)


@pytest.mark.parametrize("few", [0, 2**13])
@pytest.mark.parametrize("shape", [(2, 1, 7, 8), (2, 3, 1, 8), (1, 1, 1, 8), (1, 1, 1, 1)])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_expanded_numbers_are_turned_too(monkeypatch, pairing, shape, few):
    """Out of place; in place there is one number for many. Tables may be stored sideways."""
    monkeypatch.setattr(passes, "FEW", few)
    for dtype in DTYPES:
        x = numbers(*shape, dtype=dtype).expand(2, 3, 7, 8)
        for turns in tables_that_fit(x):
            sideways = [table.mT.contiguous().mT if table.ndim > 1 else table for table in turns]
            for given in (turns, sideways):
                assert_same(rotate(x, *given, pairing=pairing), defined(x, *turns, pairing))


def tables_that_fit(x):
    """Alike for all rows, one for each token, and one for each token of each text."""
    yield tables(torch.tensor(5), 8)
    if x.ndim > 1:
        yield tables(torch.arange(x.shape[-2]), 8, torch.promote_types(x.dtype, torch.float32))
    if x.ndim > 2:
        shape = (*x.shape[:1], *[1] * (x.ndim - 3), x.shape[-2])
        yield tables(torch.arange(x.shape[0] * x.shape[-2]).reshape(shape), 8)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_real_sizes_are_cut_and_give_the_very_bits(pairing):
    for dtype in (torch.float32, torch.bfloat16):
        x = numbers(1, 2, 1500, 128, dtype=dtype)
        cos, sin = tables(torch.arange(1500), 128)
        expected = defined(x, cos, sin, pairing)
        torch.testing.assert_close(rotate(x, cos, sin, pairing=pairing), expected)
        torch.testing.assert_close(rotate_(x, cos, sin, pairing=pairing), expected)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("block", [8, 2**16])
def test_rows_that_are_one_in_memory_are_refused_before_the_first_is_turned(
    monkeypatch, block, pairing
):
    monkeypatch.setattr(blocks, "BLOCK", block)
    for dtype in DTYPES:
        row = numbers(1, 5, 4, dtype=dtype)
        before = row.clone()
        with pytest.raises(RuntimeError, match="single memory location"):
            rotate_(row.expand(3, 5, 4), *tables(torch.arange(5), 4), pairing=pairing)
        assert torch.equal(row, before)


class New(TorchDispatchMode):
    """The memory, in bytes, of every tensor that an operation makes."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        made = isinstance(result, torch.Tensor) and not function.is_view
        if made and not function._schema.is_mutable:
            self.sizes.append(result.nbytes)
        return result


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_that_of_the_result_and_of_blocks(pairing, dtype):
    x = numbers(1, 64, 512, 64, dtype=dtype)
    cos, sin = tables(torch.arange(512), 64)
    assert cos.numel() + sin.numel() == 2 * 512 * 64 // 2
    block = 4 * blocks.BLOCK
    with New() as out_of_place:
        rotate(x, cos, sin, pairing=pairing)
    assert sorted(out_of_place.sizes)[-1] == x.nbytes
    assert max(sorted(out_of_place.sizes)[:-1], default=0) <= max(block, cos.nbytes + sin.nbytes)
    with New() as in_place:
        rotate_(x, cos, sin, pairing=pairing)
    assert max(in_place.sizes) <= max(block, cos.nbytes + sin.nbytes) < x.nbytes


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_backward_keeps_the_tables_and_nothing_else(pairing, dtype):
    x = numbers(2, 3, 40, 64, dtype=dtype).requires_grad_()
    cos, sin = tables(torch.arange(40), 64)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        turned = rotate(x, cos, sin, pairing=pairing)
    assert {each.data_ptr() for each in kept} == {cos.data_ptr(), sin.data_ptr()}
    upstream = numbers(2, 3, 40, 64, dtype=dtype, seed=1)
    turned.backward(upstream)
    assert_same(x.grad, defined(upstream, cos, -sin, pairing))


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("few", [0, 2**13])
def test_transformations_see_through(monkeypatch, few, pairing):
    """vmap, forward derivatives, gradients of gradients and many gradients at once."""
    monkeypatch.setattr(passes, "FEW", few)
    x, direction = numbers(4, 5, 8), numbers(4, 5, 8, seed=1)
    cos, sin = tables(torch.arange(5), 8)

    def turn(x):
        return rotate(x, cos, sin, pairing=pairing)

    assert_same(torch.vmap(turn)(x), turn(x))
    turned, change = torch.func.jvp(turn, (x,), (direction,))
    assert_same(turned, turn(x))
    assert_same(change, turn(direction))
    with torch.autograd.forward_ad.dual_level():
        dual = turn(torch.autograd.forward_ad.make_dual(x, direction))
        assert_same(torch.autograd.forward_ad.unpack_dual(dual).tangent, turn(direction))
    y = turn(x.requires_grad_())
    (many,) = torch.autograd.grad(y, x, torch.stack([direction, x.detach()]), is_grads_batched=True)
    back = rotate(direction, cos, sin, pairing=pairing, inverse=True)
    assert_same(many[0], back)
    assert_same(torch.func.grad(lambda x: (turn(x) * direction).sum())(x), back)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_tables_that_learn_get_their_gradient(pairing):
    x = numbers(3, 5, 8).double()
    cos, sin = (table.requires_grad_() for table in tables(torch.arange(5), 8, torch.float64))
    assert torch.autograd.gradcheck(lambda c, s: rotate(x, c, s, pairing=pairing), (cos, sin))
    kept = rotate_(x.clone(), cos, sin, pairing=pairing)
    assert kept.requires_grad
