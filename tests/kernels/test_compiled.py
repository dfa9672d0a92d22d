"""``backend="compile"``: the same numbers, compiled once; eager where nothing can be compiled."""

import pytest
import torch

from rope_lib import RotaryEmbedding, inverse_frequencies, rotation_tables
from rope_lib.kernels import compiled, rotate_into_cache, rotate_qk, rotate_qk_

UNIT = {torch.float32: 2.0**-22, torch.bfloat16: 2.0**-7}


def numbers(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tables(seq, pairs):
    return rotation_tables(torch.arange(seq) + 7, inverse_frequencies(2 * pairs))


def assert_near(ours, wanted):
    for one, other in zip(ours, wanted, strict=True):
        assert one.dtype == other.dtype
        unit = UNIT[one.dtype]
        torch.testing.assert_close(one, other, rtol=unit, atol=2 * unit)


@pytest.fixture
def no_compiler(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("no C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", refuse)
    compiled._fault.cache_clear()
    yield
    compiled._fault.cache_clear()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_turn_out_of_place_and_in_place(dtype):
    q, k = numbers(2, 3, 9, 16, dtype=dtype), numbers(2, 1, 9, 16, dtype=dtype, seed=1)
    how = {"pairing": "half", "rotated": "last"}
    wanted = rotate_qk(q, k, *tables(9, 6), **how, backend="torch")
    assert_near(rotate_qk(q, k, *tables(9, 6), **how, backend="compile"), wanted)
    before = q.data_ptr(), k.data_ptr()
    rotate_qk_(q, k, *tables(9, 6), **how, backend="compile")
    assert (q.data_ptr(), k.data_ptr()) == before
    assert_near((q, k), wanted)


def test_rows_of_a_table_and_gradients():
    q, k = (numbers(1, 2, 5, 8, seed=seed).requires_grad_() for seed in (0, 1))
    rows = torch.tensor([4, 0, 2, 2, 1])
    results = {}
    for backend in ("torch", "compile"):
        pair = rotate_qk(q, k, *tables(5, 4), pairing="half", positions=rows, backend=backend)
        upstream = [numbers(*x.shape, seed=2) for x in pair]
        results[backend] = torch.autograd.grad(pair, (q, k), upstream)
    assert_near(results["compile"], results["torch"])


def test_what_is_compiled_is_kept():
    rope = RotaryEmbedding(8, "interleaved", backend="compile")
    q, k = numbers(1, 2, 3, 8), numbers(1, 2, 3, 8, seed=1)
    plain = RotaryEmbedding(8, "interleaved")(q, k, 0)
    assert_near(rope(q, k, 0), plain)
    made = compiled._program.cache_info().misses
    assert_near(rope(q, k, 0), plain)
    assert compiled._program.cache_info().misses == made


def test_without_a_compiler_it_is_turned_in_eager_mode_and_told_once(no_compiler, recwarn):
    q, k = numbers(1, 2, 3, 8), numbers(1, 2, 3, 8, seed=1)
    wanted = rotate_qk(q, k, *tables(3, 4), pairing="half", backend="torch")
    for _ in range(2):
        assert_near(rotate_qk(q, k, *tables(3, 4), pairing="half", backend="compile"), wanted)
    (told,) = [str(each.message) for each in recwarn if "compile" in str(each.message)]
    assert told == "backend 'compile' rotates in eager mode: no C++ compiler found"


def test_a_step_with_a_cache_is_not_compiled_here():
    q, cache, slots = numbers(1, 2, 3, 8), numbers(1, 2, 3, 8), torch.arange(3)
    with pytest.raises(ValueError, match="backend must be None or 'torch' or 'triton', got 'comp"):
        rotate_into_cache(
            q, q, q, *tables(3, 4), cache, cache.clone(), slots, pairing="half", backend="compile"
        )


def test_a_compiler_that_is_at_work_takes_the_formula():
    @torch.compile(fullgraph=True, backend="aot_eager")
    def turn(q, k, cos, sin):
        return rotate_qk(q, k, cos, sin, pairing="half", backend="compile")

    q, k = numbers(1, 2, 3, 8), numbers(1, 2, 3, 8, seed=1)
    wanted = rotate_qk(q, k, *tables(3, 4), pairing="half")
    assert_near(turn(q, k, *tables(3, 4)), wanted)
