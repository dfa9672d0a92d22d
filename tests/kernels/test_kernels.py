"""The fused kernels, held to the float64 specification and to what PyTorch does.

Without a GPU they run in Triton's interpreter, where a program takes milliseconds: shapes are
small, and few.
"""

import os
import platform
import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode

from kernel_inputs import (
    DEVICE,
    PAIRINGS,
    assert_rounded_once,
    count_launches,
    needs_kernels,
    numbers,
    random_strides,
    tables,
)
from rope_lib import rotate
from rope_lib.course import reference
from rope_lib.kernels import fault, rotate_into_cache, rotate_qk, rotate_qk_


def test_kernels_run_where_requirements_txt_installs_triton():
    """Elsewhere the tests of kernels are skipped; here that would hide that none was run."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        assert fault(DEVICE) is None


def specified(x, positions, pairs, pairing, rotated="first", inverse=False):
    """Row by row in numpy, float64; ``positions`` ``(batch, seq)``."""
    start = 0 if rotated == "first" else x.shape[-1] - 2 * pairs
    result = x.double().cpu().clone()
    for text, rows in enumerate(positions.tolist()):
        for head in range(x.shape[1]):
            part = result[text, head, :, start : start + 2 * pairs]
            turned = reference.rotate(
                part.numpy(), [-p if inverse else p for p in rows], pairing=pairing
            )
            part.copy_(torch.from_numpy(turned))
    return result


CASES = {
    "one token": dict(q_heads=3, k_heads=1, seq=1),
    "odd heads, grouped": dict(q_heads=9, k_heads=3, seq=5),
    "many queries, one key": dict(q_heads=11, k_heads=1, seq=3),
    "first part": dict(q_heads=2, k_heads=2, seq=4, width=11, pairs=3),
    "last part": dict(q_heads=2, k_heads=2, seq=4, width=12, pairs=2, rotated="last"),
    "backwards": dict(q_heads=2, k_heads=1, seq=7, inverse=True),
    "a pair": dict(q_heads=1, k_heads=1, seq=2, width=2, pairs=1),
    "odd number of pairs": dict(q_heads=2, k_heads=1, seq=6, width=10, pairs=5),
}


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("case", CASES)
def test_forward_backward_and_in_place_agree_with_the_specification(case, pairing):
    known = dict(width=8, pairs=4, rotated="first", inverse=False) | CASES[case]
    pairs, rotated, inverse = known["pairs"], known["rotated"], known["inverse"]
    dtypes = (torch.float32, torch.bfloat16)
    if case in ("first part", "one token"):
        dtypes += (torch.float16, torch.float64)
    for seed, dtype in enumerate(dtypes):
        shapes = [(2, known[f"{x}_heads"], known["seq"], known["width"]) for x in "qk"]
        q, k = (random_strides(shape, seed + i, dtype) for i, shape in enumerate(shapes))
        positions = torch.arange(known["seq"]) * 3
        how = dict(pairing=pairing, rotated=rotated, inverse=inverse, backend="triton")
        turns = tables(positions, pairs, torch.promote_types(dtype, torch.float32))
        both = positions.expand(2, -1)
        leaves = [x.detach().clone().requires_grad_() for x in (q, k)]
        exact = [specified(x, both, pairs, pairing, rotated, inverse) for x in (q, k)]
        before = q.clone(), k.clone()
        for result, wanted in zip(rotate_qk(q, k, *turns, **how), exact, strict=True):
            assert_rounded_once(result, wanted, dtype)
        assert torch.equal(q, before[0])
        assert torch.equal(k, before[1])
        results = rotate_qk(*leaves, *turns, **how)
        upstream = [numbers(*x.shape, dtype=dtype, seed=9) for x in leaves]
        for leaf, gradient, up in zip(
            leaves, torch.autograd.grad(results, leaves, upstream), upstream, strict=True
        ):
            back = specified(up, both, pairs, pairing, rotated, not inverse)
            assert gradient.shape == leaf.shape
            assert_rounded_once(gradient, back, dtype)
        assert rotate_qk_(q, k, *turns, **how)[0] is q
        for result, wanted in zip((q, k), exact, strict=True):
            assert_rounded_once(result, wanted, dtype)


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_several_programs_share_out_tokens_heads_and_texts(monkeypatch, pairing):
    """As on a GPU: blocks of tokens with a ragged end, groups of heads, one table for each text."""
    from rope_lib.kernels import launch

    monkeypatch.setattr(launch, "share", lambda *sizes: (4, 2, 1))
    q, k = numbers(2, 3, 6, 8), numbers(2, 1, 6, 8)
    positions = torch.tensor([[0, 1, 2, 3, 4, 5], [7, 7, 0, 1, 99, 3]])
    cos, sin = tables(positions[:, None], 4)
    turned = rotate_qk(q, k, cos, sin, pairing=pairing, backend="triton")
    for result, x in zip(turned, (q, k), strict=True):
        assert_rounded_once(result, specified(x, positions, 4, pairing), torch.float32)


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("width", [24, 80, 96, 112])
def test_widths_that_are_no_power_of_two(monkeypatch, width, pairing):
    """Blocks are powers of two: what lies beyond the head must be neither read nor written."""
    launched = count_launches(monkeypatch)
    store = numbers(2, 3, 2, width + 2)
    q, k, positions = store[..., 1:-1], numbers(2, 1, 2, width), torch.arange(2) + 7
    turns = tables(positions, width // 2)
    exact = [specified(x, positions.expand(2, -1), width // 2, pairing) for x in (q, k)]
    for result, wanted in zip(
        rotate_qk(q, k, *turns, pairing=pairing, backend="triton"), exact, strict=True
    ):
        assert_rounded_once(result, wanted, torch.float32)
    rows = torch.full((2, 2, 1, 3, width + 2), 9.0, device=DEVICE)
    caches = [each[..., 1:-1] for each in rows]
    slots = torch.tensor([2, 0], device=DEVICE)
    result = rotate_into_cache(q, k, k, *turns, *caches, slots, pairing=pairing, backend="triton")
    assert_rounded_once(result, exact[0], torch.float32)
    assert_rounded_once(caches[0][:, :, slots], exact[1], torch.float32)
    assert torch.equal(caches[1][:, :, slots], k)
    assert (rows[..., (0, -1)] == 9).all()
    rotate_qk_(q, k, *turns, pairing=pairing, backend="triton")
    assert_rounded_once(q, exact[0], torch.float32)
    assert torch.equal(store[..., (0, -1)], numbers(2, 3, 2, width + 2)[..., (0, -1)])
    assert launched == ["turn_qk", "turn_into_cache", "turn_qk"]


@needs_kernels
@pytest.mark.parametrize("name", ["q", "k"])
def test_one_tensor_alone_takes_one_launch(monkeypatch, name):
    """Its gradient takes one, too."""
    launched = count_launches(monkeypatch)
    turns = tables(torch.arange(3), 3)
    x = numbers(2, 3, 3, 8).requires_grad_()
    given = {"q": None, "k": None} | {name: x}
    how = dict(pairing="interleaved", rotated="last", backend="triton")
    pair = dict(zip("qk", rotate_qk(**given, cos=turns[0], sin=turns[1], **how), strict=True))
    wanted = rotate(x, *turns, "interleaved", rotated="last")
    torch.testing.assert_close(pair.pop(name), wanted)
    assert list(pair.values()) == [None]
    assert launched == ["turn_qk"]
    result = rotate_qk(**given, cos=turns[0], sin=turns[1], **how)["qk".index(name)]
    (gradient,) = torch.autograd.grad(result.square().sum(), x)
    torch.testing.assert_close(gradient, 2 * x.detach())
    assert launched == ["turn_qk"] * 3


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 2, 1), (1, 4, 1)])
def test_single_tokens_of_many_texts(monkeypatch, sizes, pairing):
    """One head a program, and tiles of several or all heads of a token."""
    from rope_lib.kernels import launch

    monkeypatch.setattr(launch, "share", lambda *_: sizes)
    q, k, v = numbers(3, 3, 1, 10), numbers(3, 1, 1, 10), numbers(3, 1, 1, 5)
    positions = torch.tensor([[7], [0], [3]])
    turns = tables(positions[:, None], 4)
    how = dict(pairing=pairing, rotated="last", backend="triton")
    exact = [specified(x, positions, 4, pairing, "last") for x in (q, k)]
    for result, wanted in zip(rotate_qk(q, k, *turns, **how), exact, strict=True):
        assert_rounded_once(result, wanted, torch.float32)
    caches = [torch.zeros(1, 1, 4, width, device=DEVICE) for width in (10, 5)]
    slots = torch.tensor([[3], [-1], [0]], device=DEVICE)
    result = rotate_into_cache(q, k, v, *turns, *caches, slots, **how)
    assert_rounded_once(result, exact[0], torch.float32)
    assert_rounded_once(caches[0][0, :, [3, 0]], exact[1][[0, 2], :, 0].transpose(0, 1),
                        torch.float32)  # fmt: skip
    assert torch.equal(caches[1][0, 0, [3, 0]], v[[0, 2], 0, 0])
    assert not caches[1][0, 0, [1, 2]].any()


@needs_kernels
def test_the_heads_of_a_token_share_a_program_where_there_are_many_texts(monkeypatch):
    from rope_lib.kernels import launch

    monkeypatch.setattr(launch, "interpreted", lambda: False)
    assert launch.share(1, 64, 1, 32) == (1, 1, 1)
    assert launch.share(1, 64, launch.MANY - 1, 32) == (1, 1, 1)
    assert launch.share(1, 64, launch.MANY, 32) == (1, 32, 8)
    assert launch.share(1, 64, launch.MANY, 3)[1] == 4
    assert launch.share(1, 128, launch.MANY, 128)[1] == 16
    assert launch.share(4096, 64, launch.MANY, 32) == (8, 2, 4)


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_positions_pick_the_rows_of_a_table(pairing):
    """Packed texts and a cache: the same as a table made for these positions."""
    q, k = numbers(2, 3, 5, 8), numbers(2, 1, 5, 8)
    long = tables(torch.arange(40), 4)
    for positions in (
        torch.tensor([0, 1, 2, 0, 1]),
        torch.tensor([[[5, 6, 7, 8, 9]], [[31, 0, 39, 3, 3]]]),
        torch.tensor(17),
    ):
        where = positions.to(DEVICE)
        made = tables(positions, 4)
        for backend in ("triton", "torch"):
            results = rotate_qk(q, k, *long, pairing=pairing, positions=where, backend=backend)
            for result, x in zip(results, (q, k), strict=True):
                torch.testing.assert_close(result, rotate(x, *made, pairing=pairing))
    assert torch.autograd.gradcheck(
        lambda q, k: rotate_qk(
            q, k, *(table.double() for table in long), pairing=pairing,
            positions=torch.tensor([3, 1, 4, 1, 5], device=DEVICE), backend="triton",
        ),
        [x[:1, :1].double().requires_grad_() for x in (q, k)], fast_mode=True,
    )  # fmt: skip


@needs_kernels
def test_a_position_beyond_the_table_is_not_another_number():
    """It raises where numbers can be looked at, and cannot pass unseen where they cannot."""
    q = k = numbers(1, 1, 2, 4)
    turns, wrong = tables(torch.arange(3), 2), torch.tensor([0, 3], device=DEVICE)
    how = dict(pairing="half", positions=wrong)
    if DEVICE.type == "cpu":
        with pytest.raises(
            ValueError, match=r"positions must lie in the table, 0\.\.2, got 0 to 3"
        ):
            rotate_qk(q, k, *turns, **how)
    from rope_lib.kernels import launch

    result = torch.empty_like(q), torch.empty_like(k)
    launch.turn_qk(q, k, *result, *turns, wrong, launch.Turn("half"))
    assert result[0][0, 0, 1].isnan().all()
    assert result[0][0, 0, 0].isfinite().all()


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_gradients_of_gradients(pairing):
    """candle#3568, LongLive#61: a kernel must not cut gradients, neither the first nor the next."""
    turns = tables(torch.tensor([3, 500]), 1, torch.float64)
    pair = [numbers(1, heads, 2, 3, dtype=torch.float64).requires_grad_() for heads in (2, 1)]

    def turn(q, k):
        return rotate_qk(q, k, *turns, pairing=pairing, rotated="first", backend="triton")

    assert torch.autograd.gradcheck(turn, pair, fast_mode=True)
    assert torch.autograd.gradgradcheck(turn, pair, fast_mode=True)


@needs_kernels
def test_backward_keeps_the_tables_and_nothing_else():
    turns = tables(torch.arange(3), 4)
    q, k = numbers(1, 2, 3, 8).requires_grad_(), numbers(1, 1, 3, 8)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        rotate_qk(q, k, *turns, pairing="half", backend="triton")
    assert {each.data_ptr() for each in kept} == {table.data_ptr() for table in turns}


@needs_kernels
@pytest.mark.parametrize("shape", [(0, 2, 3, 8), (2, 0, 3, 8), (2, 2, 0, 8)])
def test_nothing_is_turned_into_nothing(shape):
    q = numbers(*shape)
    k = numbers(shape[0], 1, *shape[2:])
    turns = tables(torch.arange(shape[2]), 4)
    result, other = rotate_qk(q, k, *turns, pairing="half", backend="triton")
    assert result.shape == q.shape
    torch.testing.assert_close(other, rotate(k, *turns, pairing="half"))
    rotate_qk_(q, k, *turns, pairing="half", backend="triton")


@needs_kernels
def test_two_and_three_dimensions():
    turns = tables(torch.arange(3), 4)
    for shape in ((3, 8), (2, 3, 8)):
        q = numbers(*shape)
        for result in rotate_qk(q, q, *turns, pairing="interleaved", backend="triton"):
            torch.testing.assert_close(result, rotate(q, *turns, pairing="interleaved"))


@needs_kernels
def test_results_keep_the_order_of_dimensions_in_memory():
    """Heads of (batch, seq, heads, head_dim) stay so, and can be flattened without a copy."""
    q = numbers(2, 3, 4, 8).transpose(1, 2)
    result, _ = rotate_qk(q, q, *tables(torch.arange(3), 4), pairing="half", backend="triton")
    assert result.stride() == q.stride()


@needs_kernels
@pytest.mark.skipif(
    sys.platform != "linux",
    reason="takes 4 GB where a system gives memory to pages that nobody has touched",
)
@pytest.mark.parametrize("texts", [2, 3])
def test_offsets_beyond_2_to_31(texts):
    """fla#1082. The view spans 2**31 numbers; memory in between is never touched.

    With two texts the step itself needs 64 bits, with three only its product with the last text.
    """
    step = 2**31 // (texts - 1) + 8
    store = torch.empty((texts - 1) * step + 64, dtype=torch.bfloat16, device=DEVICE)
    q = store.as_strided((texts, 1, 2, 8), (step, 8, 8, 1))
    q.copy_(numbers(texts, 1, 2, 8))
    k = numbers(texts, 1, 2, 8)
    exact = specified(q, torch.arange(2).expand(texts, -1), 4, "half")
    rotate_qk_(q, k, *tables(torch.arange(2), 4), pairing="half", backend="triton")
    assert_rounded_once(q, exact, torch.bfloat16)


def cached(pairing, backend, *, paged=False, slots=((0, 1, 2), (5, -1, 3)), seq=3):
    q, k, v = numbers(2, 4, seq, 8), numbers(2, 3, seq, 8, seed=1), numbers(2, 3, seq, 5, seed=2)
    if paged:  # pages of 4 rows, heads last but one: (pages, rows, heads, width)
        k_cache, v_cache = (torch.zeros(3, 4, 3, x.shape[-1], device=DEVICE) for x in (k, v))
        views = [c.flatten(0, 1).transpose(0, 1).unsqueeze(0) for c in (k_cache, v_cache)]
    else:
        views = k_cache, v_cache = [
            torch.zeros(2, 3, 9, x.shape[-1], device=DEVICE) for x in (k, v)
        ]
    positions = torch.tensor([[[0, 1, 2]], [[7, 8, 9]]], device=DEVICE)[..., :seq]
    slots = torch.tensor(slots, device=DEVICE)
    turned = rotate_into_cache(
        q, k, v, *tables(torch.arange(20), 3), *views, slots, pairing=pairing,
        positions=positions, rotated="last", backend=backend,
    )  # fmt: skip
    expected = rotate_qk(
        q, k, *tables(torch.arange(20), 3), pairing=pairing, positions=positions, rotated="last",
        backend="torch",
    )  # fmt: skip
    return turned, views, expected, v


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("paged", [False, True])
def test_keys_and_values_land_in_their_slots_and_nowhere_else(pairing, backend, paged):
    rows = ((6, 1, 2), (5, -1, 3))
    turned, (k_cache, v_cache), (q, k), v = cached(pairing, backend, paged=paged, slots=rows)
    torch.testing.assert_close(turned, q)
    written = torch.zeros(k_cache.shape[0], k_cache.shape[2], dtype=torch.bool)
    for text in range(2):
        for token, slot in enumerate(rows[text]):
            if slot >= 0:
                pool = 0 if paged else text
                torch.testing.assert_close(k_cache[pool, :, slot], k[text, :, token])
                assert torch.equal(v_cache[pool, :, slot], v[text, :, token])
                written[pool, slot] = True
    for cache in (k_cache, v_cache):
        assert not cache.transpose(1, 2)[~written.to(DEVICE)].any()


@needs_kernels
@pytest.mark.parametrize("backend", ["triton", "torch"])
def test_one_row_of_slots_serves_all_texts(backend):
    turned, (k_cache, _), (q, k), _ = cached("half", backend, slots=(4, -1, 0))
    torch.testing.assert_close(turned, q)
    torch.testing.assert_close(k_cache[:, :, 4], k[:, :, 0])
    torch.testing.assert_close(k_cache[:, :, 0], k[:, :, 2])
    assert not k_cache[:, :, 1:4].any()


@needs_kernels
def test_old_numbers_that_are_still_needed_raise():
    turns = tables(torch.arange(3), 4)
    source = numbers(1, 2, 3, 8).requires_grad_()
    q, k = source * 1.0, numbers(1, 2, 3, 8)
    loss = q.square().sum()
    with torch.no_grad():
        rotate_qk_(q, k, *turns, pairing="half", backend="triton")
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    q = source * 1.0
    rotate_qk_(q, k, *turns, pairing="half", backend="triton")
    q.sum().backward()
    back = rotate(torch.ones_like(source), *turns, pairing="half", inverse=True)
    torch.testing.assert_close(source.grad, back)


@needs_kernels
@pytest.mark.parametrize("backend", ["triton", "torch"])
def test_in_place_is_refused_before_anything_changes(backend):
    turns = tables(torch.arange(3), 4)
    q, k = numbers(1, 2, 3, 8), numbers(1, 1, 3, 8)
    leaf = numbers(1, 2, 3, 8).requires_grad_()
    refused = {
        "q is a leaf": (leaf, k), "k is a leaf": (q, leaf), "view of one": (q, leaf[:, :1]),
        "k is expanded": (q, k.expand(1, 4, 3, 8)), "q and k share memory": (q, q),
        "q and k share": (leaf.detach()[0], leaf.detach()[0, 1:]),
    }  # fmt: skip
    for message, pair in refused.items():
        before = [x.detach().clone() for x in pair]
        with pytest.raises((RuntimeError, ValueError), match=message):
            rotate_qk_(*pair, *turns, pairing="half", backend=backend)
        assert all(torch.equal(x, old) for x, old in zip(pair, before, strict=True))


@needs_kernels
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_compilers_and_tracers_see_one_operator(pairing):
    turns = tables(torch.arange(3), 3)
    pair = [numbers(1, heads, 3, 8).requires_grad_() for heads in (2, 1)]

    def turn(q, k):
        return rotate_qk(q, k, *turns, pairing=pairing, rotated="first", backend="triton")

    expected = turn(*pair)
    compiled = torch.compile(turn, fullgraph=True, backend="aot_eager")
    results = compiled(*pair)
    for result, wanted in zip(results, expected, strict=True):
        torch.testing.assert_close(result, wanted)
    ups = [torch.ones_like(x) for x in pair]
    for one, other in zip(
        torch.autograd.grad(results, pair, ups),
        torch.autograd.grad(expected, pair, ups),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    exported = torch.export.export(Turning(turns, pairing), tuple(pair), strict=True)
    assert any("rope_lib.rotate_qk" in str(node.target) for node in exported.graph.nodes)
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) for x in (*pair, *turns)]
        results = rotate_qk(*fakes, pairing=pairing, rotated="first", backend="triton")
    assert [x.shape for x in results] == [x.shape for x in pair]


class Turning(torch.nn.Module):
    def __init__(self, turns, pairing):
        super().__init__()
        self.turns, self.pairing = turns, pairing

    def forward(self, q, k):
        return rotate_qk(q, k, *self.turns, pairing=self.pairing, rotated="first", backend="triton")


@needs_kernels
def test_operators_keep_their_promises_to_pytorch():
    """Schema, fake results and gradients, by PyTorch's own checker."""
    turns = tables(torch.arange(3), 4)
    q, k = numbers(1, 2, 3, 8).requires_grad_(), numbers(1, 1, 3, 8).requires_grad_()
    rotate_op = torch.ops.rope_lib.rotate_qk.default
    torch.library.opcheck(rotate_op, (q, k, *turns, None, "half", "first", False))
    q, k, v = (x.detach() for x in (q, k, k))
    caches = [torch.zeros(1, 1, 9, 8, device=DEVICE) for _ in range(2)]
    slots = torch.tensor([4, -1, 2], device=DEVICE)
    cache_op = torch.ops.rope_lib.rotate_into_cache.default
    torch.library.opcheck(cache_op, (q, k, v, *turns, *caches, slots, None, "half", "first"))


@needs_kernels
def test_in_place_and_into_a_cache_under_a_compiler():
    turns = tables(torch.arange(3), 4)
    q, k, v = numbers(1, 2, 3, 8), numbers(1, 1, 3, 8), numbers(1, 1, 3, 8)
    expected = rotate_qk(q, k, *turns, pairing="half")

    def turn(q, k):
        rotate_qk_(q, k, *turns, pairing="half", backend="triton")

    pair = q.clone(), k.clone()
    torch.compile(turn, fullgraph=True, backend="aot_eager")(*pair)
    for result, wanted in zip(pair, expected, strict=True):
        torch.testing.assert_close(result, wanted)
    caches = [torch.zeros(1, 1, 4, 8, device=DEVICE) for _ in range(2)]
    slots = torch.tensor([3, 0, 1], device=DEVICE)

    def store(q, k, v, k_cache, v_cache):
        how = dict(pairing="half", backend="triton")
        return rotate_into_cache(q, k, v, *turns, k_cache, v_cache, slots, **how)

    compiled = torch.compile(store, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(q, k, v, *caches), expected[0])
    torch.testing.assert_close(caches[0][:, :, slots], expected[1])
    assert torch.equal(caches[1][:, :, slots], v)


FALLBACKS = {
    "five dimensions": (lambda x: x.unsqueeze(0), lambda t: t),
    "tables for each head": (lambda x: x, lambda t: t.expand(2, 2, 3, 4).contiguous()),
    "tables that learn": (lambda x: x, lambda t: t.clone().requires_grad_()),
}


@needs_kernels
@pytest.mark.parametrize("case", FALLBACKS)
def test_what_a_kernel_cannot_do_is_done_in_pytorch(case):
    change_x, change_table = FALLBACKS[case]
    x = change_x(numbers(2, 2, 3, 8))
    turns = [change_table(table) for table in tables(torch.arange(3), 4)]
    for result in rotate_qk(x, x, *turns, pairing="half", backend="triton"):
        torch.testing.assert_close(result, rotate(x, *turns, pairing="half"))


@needs_kernels
def test_transformations_fall_back():
    turns = tables(torch.arange(3), 4)
    x, direction = numbers(4, 2, 3, 8), numbers(4, 2, 3, 8, seed=1)

    def turn(x):
        return rotate_qk(x, x, *turns, pairing="half", backend="triton")[0]

    expected = rotate(x, *turns, pairing="half")
    torch.testing.assert_close(torch.vmap(turn)(x), expected)
    torch.testing.assert_close(torch.func.jvp(turn, (x,), (direction,))[1], turn(direction))


def test_the_device_chooses():
    """Nothing but PyTorch is used on a CPU, unless a kernel is asked for."""
    q = numbers(1, 2, 3, 8).cpu()
    turns = [table.cpu() for table in tables(torch.arange(3), 4)]
    for backend in (None, "torch"):
        for result in rotate_qk(q, q, *turns, pairing="half", backend=backend):
            assert torch.equal(result, rotate(q, *turns, pairing="half"))


BAD = {
    "backend": (dict(backend="cuda"), ValueError, ".torch. or .compile. or .triton., got .cuda."),
    "pairing": (dict(pairing="neox"), ValueError, "pairing must be 'interleaved' or 'half', got"),
    "rotated": (dict(rotated="middle"), ValueError, "rotated must be 'first' or 'last', got"),
    "q": (dict(q=[1.0]), TypeError, "q must be a torch.Tensor, got list"),
    "k flat": (dict(k=torch.ones(8)), ValueError, r"k must have at least 2 dimension"),
    "k other length": (dict(k=torch.ones(1, 1, 4, 8)), ValueError, "do not fit k of shape"),
    "k narrow": (dict(k=torch.ones(1, 1, 3, 6)), ValueError, r"each pair, 6 / 2 for k of shape"),
    "cos": (dict(cos=1.0), TypeError, "cos must be a torch.Tensor, got float"),
    "sin": (dict(sin=torch.ones(3, 3)), ValueError, "cos and sin must have the same shape"),
    "positions": (dict(positions=torch.ones(3)), TypeError, "positions must hold int32 or int64"),
    "positions long": (
        dict(positions=torch.zeros(4, dtype=torch.int64)), ValueError, "positions must have shape",
    ),
    "positions below": (
        dict(positions=torch.tensor([0, -1, 2])), ValueError, r"0\.\.2, got -1 to 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("turn", [rotate_qk, rotate_qk_])
@pytest.mark.parametrize(("changed", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(turn, changed, error, message):
    call = dict(
        q=torch.ones(1, 2, 3, 8), k=torch.ones(1, 1, 3, 8), cos=torch.ones(3, 4),
        sin=torch.zeros(3, 4), pairing="half",
    ) | changed  # fmt: skip
    with pytest.raises(error, match=message):
        turn(**call)


BAD_CACHES = {
    "slots floats": (dict(slots=torch.ones(3)), TypeError, "slots must hold int32 or int64"),
    "slots short": (dict(slots=torch.tensor([1])), ValueError, r"slots must be \(3,\) or \(2, 3\)"),
    "slots beyond": (dict(slots=torch.tensor([0, 9, 1])), ValueError, "slots must be below 9"),
    "v heads": (dict(v=torch.ones(2, 1, 3, 4)), ValueError, "v the heads of k"),
    "q batch": (dict(q=torch.ones(1, 2, 3, 8)), ValueError, "the same batch and tokens"),
    "k_cache": (dict(k_cache=torch.ones(2, 2, 9, 6)), ValueError, "k_cache must be"),
    "v_cache rows": (dict(v_cache=torch.ones(2, 2, 8, 4)), ValueError, "v_cache must be"),
    "v_cache flat": (dict(v_cache=torch.ones(8, 4)), ValueError, "v_cache must have four"),
    "gradient": (
        dict(k=torch.ones(2, 2, 3, 8).requires_grad_()),
        RuntimeError,
        "k requires a grad",
    ),
}


@pytest.mark.parametrize(("changed", "error", "message"), BAD_CACHES.values(), ids=BAD_CACHES)
def test_a_bad_cache_is_named_and_untouched(changed, error, message):
    call = dict(
        q=torch.ones(2, 2, 3, 8), k=torch.ones(2, 2, 3, 8), v=torch.ones(2, 2, 3, 4),
        cos=torch.ones(3, 4), sin=torch.zeros(3, 4), k_cache=torch.zeros(2, 2, 9, 8),
        v_cache=torch.zeros(2, 2, 9, 4), slots=torch.tensor([0, 1, 2]), pairing="half",
    ) | changed  # fmt: skip
    before = call["k_cache"].clone(), call["v_cache"].clone()
    with pytest.raises(error, match=message):
        rotate_into_cache(**call)
    assert torch.equal(call["k_cache"], before[0])
    assert torch.equal(call["v_cache"], before[1])


COMPILE = """
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from rope_lib.kernels import launch, programs

kernel, (rows, heads, warps) = programs.turn_qk, launch.share(4096, 64)
fixed = dict(
    INTERLEAVED={interleaved}, INVERSE=False, WIDE=triton.language.float32, PAIRS=64, BLOCK=64,
    START=0, REST=0, REST_START=0, REST_BLOCK=1, ROWS=rows, HEADS=heads, positions=None,
)
fixed |= {{name: 1 for name in kernel.arg_names if name.endswith("_dim")}}
pointers = dict(q="*bf16", k="*bf16", q_out="*bf16", k_out="*bf16", cos="*fp32", sin="*fp32")
kinds = {{n: "constexpr" if n in fixed else pointers.get(n, "i32") for n in kernel.arg_names}}
aligned = {{
    (i,): [["tt.divisibility", 16]]
    for i, n in enumerate(kernel.arg_names)
    if n in pointers or n.endswith(("_batch", "_head", "_row"))
}}
made = triton.compile(
    ASTSource(kernel, kinds, fixed, aligned), target=GPUTarget("cuda", 90, 32),
    options=dict(num_warps=warps),
)
print(made.asm["ptx"])
"""


@needs_kernels
@pytest.mark.parametrize("interleaved", [True, False])
def test_the_kernel_compiles_for_a_gpu_with_wide_accesses(interleaved):
    """For Hopper, without one: all that a thread has of a row at once, nothing through shared.

    That is four pairs: 16 bytes of bfloat16 where they are neighbours, 8 of each half elsewhere.
    """
    pytest.importorskip("triton.backends.nvidia")
    run = subprocess.run(
        [sys.executable, "-c", COMPILE.format(interleaved=interleaved)],
        env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    moves = [line for line in run.stdout.splitlines() if "ld.global" in line or "st.global" in line]
    assert moves
    wide = {line.split(".b32")[0][-3:] for line in moves}
    assert wide == ({".v4"} if interleaved else {".v4", ".v2"})
    assert ".shared" not in run.stdout.replace(".extern .shared", "")
