"""Norm, rotation and cache in one launch: held to float64, to PyTorch and to transformers.

Without a GPU the kernels run in Triton's interpreter, where a program takes milliseconds: shapes
are small, and few.
"""

import functools
import itertools
import os
import subprocess
import sys

import pytest
import torch
from torch._subclasses import FakeTensorMode

from kernel_inputs import (
    DEVICE,
    PAIRINGS,
    UNIT,
    count_launches,
    needs_kernels,
    numbers,
    random_strides,
    tables,
)
from rope_lib.course import reference
from rope_lib.kernels import norm_launch, norm_rotate_into_cache, norm_rotate_qk

EPS = 0.01  # large enough to be seen


def specified(x, weight, positions, pairs, pairing, rotated="first", after=False, whole=False):
    """In float64, with the matrices of the specification; ``positions`` ``(batch, seq)``.

    Plain operations, so that autograd gives the gradients, too.
    """
    width = x.shape[-1]
    turns = torch.eye(width, dtype=torch.float64).repeat(*positions.shape, 1, 1)
    start = 0 if rotated == "first" else width - 2 * pairs
    for turn, position in zip(turns.flatten(0, 1), positions.flatten().tolist(), strict=True):
        matrix = reference.rotation_matrix(position, 2 * pairs, pairing=pairing)
        turn[start : start + 2 * pairs, start : start + 2 * pairs] = torch.from_numpy(matrix)

    def turned(x):
        return torch.einsum("bsij,bhsj->bhsi", turns, x)

    x = turned(x) if after else x
    squares = x.pow(2).sum((1, 3) if whole else 3, keepdim=True)
    x = x / (squares / (x.shape[1] * width if whole else width) + EPS).sqrt()
    if weight is not None:
        x = x * weight.expand(x.shape[1], width)[:, None]
    return x if after else turned(x)


def assert_near(result, exact, dtype):
    """Within a rounding of the exact result, and what float32 loses on the way."""
    assert result.dtype == dtype
    torch.testing.assert_close(
        result.detach().double().cpu(), exact.detach(), rtol=UNIT[dtype],
        atol=exact.detach().abs().max().item() * (2.0**-48 if dtype == torch.float64 else 2.0**-20),
    )  # fmt: skip


CASES = {
    "Qwen3": {},
    "Hunyuan": dict(after=True),
    "OLMo 2": dict(whole=True, each=True),
    "weights of each head": dict(each=True, seq=2),
    "all heads, afterwards, a part": dict(whole=True, each=True, after=True, width=10, pairs=3),
    "no weights": dict(weights=(False, False)),
    "no weight for queries": dict(weights=(False, True), seq=1, q_heads=9),
    "first part": dict(width=11, pairs=3),
    "last part, afterwards": dict(width=12, pairs=2, rotated="last", after=True),
    "one token": dict(seq=1, q_heads=5, after=True),
}
KNOWN = dict(q_heads=2, k_heads=1, seq=3, width=8, pairs=4, rotated="first", after=False,
             whole=False, each=False, weights=(True, True))  # fmt: skip


class Example:
    """Inputs of a case, what our function is told, and the exact results."""

    def __init__(self, case, pairing, dtype=torch.float32, weight_dtype=None):
        known = KNOWN | case
        self.known, self.pairing, self.dtype = known, pairing, dtype
        heads, seq, width = (known["q_heads"], known["k_heads"]), known["seq"], known["width"]
        self.pair = [
            random_strides((2, count, seq, width), seed, dtype) for seed, count in enumerate(heads)
        ]
        self.weights = [
            numbers(*([count] if known["each"] else []), width, dtype=weight_dtype or dtype, seed=5)
            + 1.5 + seed if there else None
            for seed, (count, there) in enumerate(zip(heads, known["weights"], strict=True))
        ]  # fmt: skip
        self.positions = torch.arange(seq) * 3 + torch.tensor([[0], [50]])
        wide = torch.promote_types(dtype, torch.float32)
        self.tables = tables(self.positions[:, None], known["pairs"], wide)
        self.how = dict(
            eps=EPS, pairing=pairing, rotated=known["rotated"],
            normalized="after" if known["after"] else "before",
            over="all" if known["whole"] else "head",
        )  # fmt: skip

    def turned(self, pair=None, weights=None, **how):
        given = *(pair or self.pair), *(weights or self.weights), *self.tables
        return norm_rotate_qk(*given, **self.how, **how)

    def exact(self, pair=None, weights=None):
        known = {name: self.known[name] for name in ("pairs", "rotated", "after", "whole")}
        both = zip(pair or wide(self.pair), weights or wide(self.weights), strict=True)
        return [specified(x, w, self.positions, pairing=self.pairing, **known) for x, w in both]

    def leaves(self):
        """Copies of q, k and the weights that take gradients, and the same in float64."""
        ours = [None if x is None else x.clone().requires_grad_() for x in self.given]
        return ours, [None if x is None else x.requires_grad_() for x in wide(self.given)]

    @property
    def given(self):
        return [*self.pair, *self.weights]


def wide(tensors):
    return [None if x is None else x.detach().double().cpu() for x in tensors]


def assert_all_agree(example, **how):
    """Results, and the gradients of q, k and the weights, against autograd in float64."""
    ours, theirs = example.leaves()
    results = example.turned(ours[:2], ours[2:], **how)
    exact = example.exact(theirs[:2], theirs[2:])
    ups = [numbers(*x.shape, dtype=x.dtype, seed=9) for x in results]
    learning = [x for x in ours if x is not None]
    gradients = torch.autograd.grad(results, learning, ups)
    wanted = torch.autograd.grad(exact, [x for x in theirs if x is not None], wide(ups))
    for result, right in zip(results, exact, strict=True):
        assert_near(result, right, example.dtype)
    for leaf, gradient, right in zip(learning, gradients, wanted, strict=True):
        assert gradient.shape == leaf.shape
        assert_near(gradient, right, leaf.dtype)


NEIGHBOURS = ["Qwen3", "OLMo 2", "first part", "last part, afterwards"]


@needs_kernels
@pytest.mark.parametrize(
    ("case", "pairing"),
    [(case, "half") for case in CASES] + [(case, "interleaved") for case in NEIGHBOURS],
)
def test_forward_and_backward_agree_with_the_specification(case, pairing):
    kinds = [(torch.bfloat16, torch.float32) if pairing == "half" else (torch.float32, None)]
    if case == "Qwen3":
        kinds += [(torch.float64, None) if pairing == "half" else (torch.float16, torch.float16)]
    for dtype, weight_dtype in kinds:
        example = Example(CASES[case], pairing, dtype, weight_dtype)
        before = [x.clone() for x in example.given if x is not None]
        for backend in ("triton", "torch"):
            assert_all_agree(example, backend=backend)
        given = [x for x in example.given if x is not None]
        assert all(map(torch.equal, given, before))


@needs_kernels
@pytest.mark.parametrize("width", [24, 64, 80, 96, 112, 128, 256])
def test_every_width_of_a_model(width):
    pairing = PAIRINGS[width % 32 == 0]
    case = dict(width=width, pairs=width // 2, seq=2)
    example = Example(case, pairing)
    if width in (80, 96):
        assert_all_agree(example, backend="triton")
    else:
        for result, exact in zip(example.turned(backend="triton"), example.exact(), strict=True):
            assert_near(result, exact, torch.float32)


@needs_kernels
@pytest.mark.parametrize("case", ["Qwen3", "weights of each head"])
def test_several_programs_share_out_the_work(monkeypatch, case):
    """As on a GPU: blocks of tokens with a ragged end, groups of heads, blocks one by one."""
    each = "each" in case
    monkeypatch.setattr(norm_launch, "PROGRAMS", 4)
    monkeypatch.setattr(norm_launch, "share", lambda *_: (1, 2, 1) if each else (2, 2, 1))
    example = Example(CASES[case] | dict(q_heads=3, seq=3), "half")
    assert_all_agree(example, backend="triton")


@needs_kernels
def test_one_launch_and_one_for_the_gradients(monkeypatch):
    launched = count_launches(monkeypatch)
    example = Example({}, "half")
    example.turned(backend="triton")
    assert launched == ["norm_turn_qk"]
    assert_all_agree(example, backend="triton")
    assert launched == ["norm_turn_qk"] * 2 + ["norm_turn_back"]
    with torch.no_grad():
        cached(example, "triton")
    assert launched[3:] == ["norm_turn_into_cache"]


@needs_kernels
def test_gradients_of_weights_are_the_same_each_time(monkeypatch):
    monkeypatch.setattr(norm_launch, "share", lambda *_: (1, 1, 1))
    example = Example({"seq": 2, "q_heads": 1}, "half")
    found = []
    for _ in range(2):
        ours, _ = example.leaves()
        results = example.turned(ours[:2], ours[2:], backend="triton")
        found.append(torch.autograd.grad([x.square().sum() for x in results], ours[2:]))
    assert all(map(torch.equal, *found))


@needs_kernels
def test_gradients_of_gradients():
    """A penalty on the length of gradients, as some training has, is not cut off."""
    example = Example({"seq": 2, "q_heads": 2, "width": 6, "pairs": 2}, "half", torch.float64)
    found = []
    for leaves, turn in zip(example.leaves(), (example.turned, example.exact), strict=True):
        how = {"backend": "triton"} if turn == example.turned else {}
        results = turn(leaves[:2], leaves[2:], **how)
        loss = sum(x.pow(3).sum() for x in results)
        gradients = torch.autograd.grad(loss, leaves, create_graph=True)
        penalty = sum(each.square().sum() for each in gradients)
        found.append(torch.autograd.grad(penalty, leaves))
    for one, other in zip(*found, strict=True):
        assert_near(one, other, torch.float64)


@needs_kernels
@pytest.mark.parametrize("backend", ["triton", "torch"])
def test_some_of_the_inputs_learn(backend):
    """Weights alone, as with a frozen projection; or keys alone."""
    example = Example({"seq": 1}, "half")
    for learning in ([2], [1], [0, 3]):
        ours, theirs = example.leaves()
        for i, (x, exact) in enumerate(zip(ours, theirs, strict=True)):
            x.requires_grad_(i in learning)
            exact.requires_grad_(i in learning)
        loss = sum(x.sum() for x in example.turned(ours[:2], ours[2:], backend=backend))
        right = sum(x.sum() for x in example.exact(theirs[:2], theirs[2:]))
        loss.backward()
        right.backward()
        for i in learning:
            assert_near(ours[i].grad, theirs[i].grad, torch.float32)


@needs_kernels
@pytest.mark.parametrize("name", ["q", "k"])
def test_one_tensor_alone(name):
    example, place = Example({}, "interleaved"), "qk".index(name)
    for backend in ("triton", "torch"):
        pair = [x if i == place else None for i, x in enumerate(example.pair)]
        results = example.turned(pair, backend=backend)
        assert results[1 - place] is None
        assert_near(results[place], example.exact()[place], torch.float32)


@needs_kernels
@pytest.mark.parametrize("shape", [(0, 2, 3, 8), (2, 0, 3, 8), (2, 2, 0, 8)])
def test_nothing_becomes_nothing(shape):
    q, k = numbers(*shape).requires_grad_(), numbers(shape[0], 1, *shape[2:])
    weight = numbers(8).requires_grad_()
    turns = tables(torch.arange(shape[2]), 4)
    for backend in ("triton", "torch"):
        results = norm_rotate_qk(
            q, k, weight, None, *turns, eps=EPS, pairing="half", backend=backend
        )
        assert [x.shape for x in results] == [q.shape, k.shape]
        gradients = torch.autograd.grad(results[0].sum(), (q, weight))
        assert [x.shape for x in gradients] == [q.shape, weight.shape]
        assert not gradients[1].any()


@needs_kernels
@pytest.mark.parametrize("backend", ["triton", "torch"])
def test_three_dimensions_positions_and_backwards(backend):
    """Positions pick rows of a table; turning back undoes the rotation, and only that."""
    example = Example({}, "half")
    positions = example.positions[0].to(DEVICE)
    how = dict(eps=EPS, pairing="half", backend=backend)
    pair = [x[0] for x in example.pair]
    results = norm_rotate_qk(
        *pair, *example.weights, *tables(torch.arange(60), 4), positions=positions, **how
    )
    for result, exact in zip(results, example.exact(), strict=True):
        assert_near(result, exact[0], torch.float32)
    ones = tables(torch.zeros(3), 4)
    upright = norm_rotate_qk(*pair, *example.weights, *ones, **how)
    turns = tables(torch.arange(3) * 3, 4)
    back = norm_rotate_qk(*results, None, None, *turns, inverse=True, normalized="before", **how)
    for one, other in zip(back, norm_rotate_qk(*upright, None, None, *ones, **how), strict=True):
        torch.testing.assert_close(one, other)


@needs_kernels
def test_no_epsilon_and_a_row_of_zeros_elsewhere():
    """Places of a tile without a token are zeros, which nothing may divide by."""
    example = Example(dict(seq=3), "half")
    example.how["eps"] = 0
    ours, _ = example.leaves()
    results = example.turned(ours[:2], ours[2:], backend="triton")
    for gradient in torch.autograd.grad([x.square().sum() for x in results], ours):
        assert gradient.isfinite().all()


# ---------------------------------------------------------------- into a cache


def cached(example, backend, slots=((6, 1, 2), (5, -1, 3)), paged=False):
    q, k = example.pair
    heads, width = k.shape[1], k.shape[-1]
    v = random_strides((2, heads, k.shape[2], 5), 7, example.dtype)
    if paged:  # pages of 4 rows, heads last but one: (pages, rows, heads, width)
        stores = [torch.zeros(3, 4, heads, n, dtype=v.dtype, device=DEVICE) for n in (width, 5)]
        caches = [c.flatten(0, 1).transpose(0, 1).unsqueeze(0) for c in stores]
    else:
        caches = [torch.zeros(2, heads, 9, n, dtype=v.dtype, device=DEVICE) for n in (width, 5)]
    result = norm_rotate_into_cache(
        q, k, v, *example.weights, *example.tables, *caches, torch.tensor(slots, device=DEVICE),
        backend=backend, **example.how,
    )  # fmt: skip
    return result, caches, v


@needs_kernels
@pytest.mark.parametrize("case", ["Qwen3", "Hunyuan", "OLMo 2"])
@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("paged", [False, True])
def test_keys_and_values_land_in_their_slots_and_nowhere_else(case, backend, paged):
    dtype = torch.bfloat16 if case == "Hunyuan" else torch.float32
    example = Example(CASES[case] | dict(k_heads=2), PAIRINGS[paged], dtype)
    rows = ((6, 1, 2), (5, -1, 3))
    result, (k_cache, v_cache), v = cached(example, backend, rows, paged)
    q, k = example.exact()
    assert_near(result, q, dtype)
    written = torch.zeros(k_cache.shape[0], k_cache.shape[2], dtype=torch.bool)
    for text in range(2):
        for token, slot in enumerate(rows[text]):
            if slot >= 0:
                pool = 0 if paged else text
                assert_near(k_cache[pool, :, slot], k[text, :, token], dtype)
                assert torch.equal(v_cache[pool, :, slot], v[text, :, token])
                written[pool, slot] = True
    for cache in (k_cache, v_cache):
        assert not cache.transpose(1, 2)[~written.to(DEVICE)].any()


@needs_kernels
def test_one_token_of_each_text_goes_into_a_cache():
    example = Example(dict(seq=1, k_heads=2), "half")
    result, (k_cache, _), _ = cached(example, "triton", ((4,), (8,)))
    assert_near(result, example.exact()[0], torch.float32)
    assert_near(k_cache[1, :, 8], example.exact()[1][1, :, 0], torch.float32)


@needs_kernels
@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("seq", [1, 3])
def test_a_cache_of_8_bits_holds_what_the_scales_leave(seq, backend):
    """Divided, cut at the largest number, and rounded to the nearest."""
    example = Example({"seq": seq, "k_heads": 2, "pairs": 3}, "half")
    (q, k), v = example.pair, 200 * numbers(2, 2, seq, 5, seed=7)
    slots = torch.arange(seq, device=DEVICE) + 1
    stores = [torch.zeros(2, 2, 5, width, device=DEVICE) for width in (8, 5)]
    caches = [each.to(torch.float8_e4m3fn) for each in stores]
    given = q, k, v, *example.weights, *example.tables, *caches, slots
    how = example.how | {"k_scale": 0.01, "v_scale": 0.3, "backend": backend}
    result = norm_rotate_into_cache(*given, **how)
    assert_near(result, example.exact()[0], torch.float32)
    for cache, exact in zip(caches, (example.exact()[1] / 0.01, wide([v])[0] / 0.3), strict=True):
        kept, exact = cache.float().cpu(), exact.clamp(-448, 448).float()
        right = exact.to(cache.dtype).float()
        # Triton's interpreter loses the carry where a number is rounded to a power of two.
        lost = (right.abs() > exact.abs()) & (right.abs().log2() % 1 == 0)
        assert torch.equal(kept[:, :, slots.cpu()].where(~lost, right), right)
        assert not kept[:, :, 0].any()
    assert (kept.abs() == 448).any()


# ---------------------------------------------------------------- models of transformers


MODELS = {
    "qwen3": ("Qwen3", "q_norm", "k_norm", {}),
    "olmo2": ("Olmo2", "q_norm", "k_norm", {"over": "all"}),
    "hunyuan_v1_dense": (
        "HunYuanDenseV1", "query_layernorm", "key_layernorm", {"normalized": "after"},
    ),
}  # fmt: skip


@needs_kernels
@pytest.mark.parametrize("name", MODELS)
def test_models_of_transformers_say_the_same(monkeypatch, name):
    """Logits, and gradients of the norms' weights, with their norm and rotation and with ours."""
    stem, q_name, k_name, how = MODELS[name]
    modeling = pytest.importorskip(f"transformers.models.{name}.modeling_{name}")
    config = getattr(sys.modules[f"transformers.models.{name}"], f"{stem}Config")(
        vocab_size=11, hidden_size=24, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, head_dim=8, rms_norm_eps=EPS,
        pad_token_id=0, attention_bias=False,
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(modeling, f"{stem}ForCausalLM")(config).float().to(DEVICE)
    layers = [layer.self_attn for layer in model.model.layers]
    norms = [(getattr(each, q_name), getattr(each, k_name)) for each in layers]
    weights = [norm.weight for pair in norms for norm in pair]
    for seed, weight in enumerate(weights):
        weight.data = 1.5 + numbers(*weight.shape, seed=seed)
    tokens = torch.tensor([[1, 5, 3, 2], [7, 2, 2, 9]], device=DEVICE)

    def said():
        logits = model(tokens).logits
        return logits, *torch.autograd.grad(logits.square().sum(), weights)

    theirs = said()
    turning = itertools.cycle(norms)

    def ours(q, k, cos, sin, **_):
        q_norm, k_norm = next(turning)
        cos, sin = cos[..., :4], sin[..., :4]
        return norm_rotate_qk(q, k, q_norm.weight, k_norm.weight, cos, sin, eps=EPS, pairing="half",
                              backend="triton", **how)  # fmt: skip

    for layer in layers:
        setattr(layer, q_name, torch.nn.Identity())
        setattr(layer, k_name, torch.nn.Identity())
    monkeypatch.setattr(modeling, "apply_rotary_pos_emb", ours)
    launched = count_launches(monkeypatch)
    for result, wanted in zip(said(), theirs, strict=True):
        torch.testing.assert_close(result, wanted, rtol=1e-4, atol=1e-5)
    assert launched == ["norm_turn_qk"] * 2 + ["norm_turn_back"] * 2


# ---------------------------------------------------------------- compilers, and what falls back


@needs_kernels
@pytest.mark.parametrize("case", ["OLMo 2", "no weight for queries"])
def test_compilers_see_one_operator_each_way(monkeypatch, case):
    launched = count_launches(monkeypatch)
    example = Example(CASES[case], "half")
    ours, _ = example.leaves()

    def turn(*given):
        return example.turned(given[:2], given[2:], backend="triton")

    expected = turn(*ours)
    compiled = torch.compile(turn, fullgraph=True, backend="aot_eager")
    results = compiled(*ours)
    assert launched == ["norm_turn_qk"] * 2
    learning = [x for x in ours if x is not None]
    ups = [torch.ones_like(x) for x in results]
    for one, other in zip(
        (*results, *torch.autograd.grad(results, learning, ups)),
        (*expected, *torch.autograd.grad(expected, learning, ups)),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [None if x is None else mode.from_tensor(x) for x in ours]
        assert [x.shape for x in turn(*fakes)] == [x.shape for x in expected]


@needs_kernels
def test_into_a_cache_under_a_compiler():
    example = Example({}, "half")
    (q, k), v = example.pair, numbers(2, 1, 3, 5)
    caches = [torch.zeros(2, 1, 4, width, device=DEVICE) for width in (8, 5)]
    slots = torch.tensor([3, 0, 1], device=DEVICE)

    def store(q, k, v, *caches):
        given = q, k, v, *example.weights, *example.tables, *caches, slots
        return norm_rotate_into_cache(*given, backend="triton", **example.how)

    result = torch.compile(store, fullgraph=True, backend="aot_eager")(q, k, v, *caches)
    assert_near(result, example.exact()[0], torch.float32)
    assert_near(caches[0][:, :, slots], example.exact()[1], torch.float32)
    assert torch.equal(caches[1][:, :, slots], v)


@needs_kernels
def test_operators_keep_their_promises_to_pytorch():
    """Schema, fake results and gradients, by PyTorch's own checker."""
    example = Example(dict(weights=(True, False), seq=2), "half")
    ours, _ = example.leaves()
    words = "half", "first", False, EPS, False, False
    given = (*ours, *example.tables, None, *words)
    check = functools.partial(
        torch.library.opcheck,
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )  # what the other tests do with a compiler is not done again: it takes long
    check(torch.ops.rope_lib.norm_rotate_qk.default, given)
    q, k, q_weight, _ = (None if x is None else x.detach() for x in ours)
    given = (q, k, q, k, q_weight, None, *given[4:])
    check(torch.ops.rope_lib.norm_rotate_qk_back.default, given)
    caches = [torch.zeros(1, 1, 9, 8, device=DEVICE) for _ in range(2)]
    slots = torch.tensor([[4, -1], [2, 0]], device=DEVICE)
    given = (q, k, k, q_weight, None, *caches, *example.tables, None, slots, 1.0, 1.0, *words)
    check(torch.ops.rope_lib.norm_rotate_into_cache.default, given)


@needs_kernels
@pytest.mark.parametrize("case", ["five dimensions", "tables that learn", "too many heads"])
def test_what_a_kernel_cannot_do_is_done_in_pytorch(monkeypatch, case):
    launched = count_launches(monkeypatch)
    monkeypatch.setattr(norm_launch, "LARGEST", 8)  # which matters to all heads together only
    example = Example(CASES["OLMo 2" if case == "too many heads" else "Qwen3"], "half")
    exact = example.exact()
    if case == "five dimensions":
        example.tables = tables(example.positions[0], 4)
        example.pair, exact = ([x[None, :1] for x in each] for each in (example.pair, exact))
    elif case == "tables that learn":
        example.tables = [x.clone().requires_grad_() for x in example.tables]
    for result, right in zip(example.turned(backend="triton"), exact, strict=True):
        assert_near(result, right, torch.float32)
    assert launched == []


@needs_kernels
def test_transformations_fall_back():
    example = Example({}, "half")
    (q, k), turns = example.pair, tables(example.positions[0], 4)

    def turn(q, weight):
        how = example.how | dict(backend="triton")
        return norm_rotate_qk(q, k, weight, None, *turns, **how)[0]

    weight, direction = example.weights[0], numbers(8, seed=3)
    one_by_one = torch.stack([turn(q, weight), turn(q, 2 * weight)])
    both = torch.stack([weight, 2 * weight])
    torch.testing.assert_close(torch.vmap(turn, (None, 0))(q, both), one_by_one)
    _, slope = torch.func.jvp(lambda w: turn(q, w), (weight,), (direction,))
    torch.testing.assert_close(slope, turn(q, direction))


def test_nothing_but_pytorch_is_used_on_a_cpu():
    example = Example({}, "half")
    example.pair, example.tables = ([x.cpu() for x in each] for each in (example.pair,
                                                                       example.tables))  # fmt: skip
    example.weights = [x.cpu() for x in example.weights]
    for one, other in zip(example.turned(), example.turned(backend="torch"), strict=True):
        assert torch.equal(one, other)


COMPILE = """
import triton
from triton import language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from rope_lib.kernels import launch, norm_programs

kernel, (rows, heads, warps) = norm_programs.{name}, {share}
fixed = dict(
    INTERLEAVED={interleaved}, INVERSE=False, WIDE=tl.float32, PAIRS=64, BLOCK=64, START=0, REST=0,
    REST_START=0, REST_BLOCK=1, ROWS=rows, HEADS=heads, positions=None, EPS=1e-6, AFTER=False,
    ALL=heads > 2, EACH=heads > 2,
)
fixed |= {{name: 1 for name in kernel.arg_names if name.endswith("_dim")}}
wide = dict(cos="*fp32", sin="*fp32", partial="*fp32")
named = "q k q_weight k_weight q_out k_out q_up k_up q_down k_down".split()
pointers = dict.fromkeys(named, "*bf16") | wide
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
@pytest.mark.parametrize(
    ("name", "interleaved", "share"),
    [
        ("norm_turn_qk", False, "launch.share(4096, 64)"),
        ("norm_turn_back", True, "(1, 32, 8)"),
    ],
)
def test_the_kernels_compile_for_a_gpu_with_wide_accesses(name, interleaved, share):
    """For Hopper, without one; a head's sum stays among the threads of a warp."""
    pytest.importorskip("triton.backends.nvidia")
    script = COMPILE.format(name=name, interleaved=interleaved, share=share)
    run = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "TRITON_INTERPRET": "0"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    moves = [line for line in run.stdout.splitlines() if "ld.global" in line or "st.global" in line]
    wide = {line.split(".b32")[0][-3:] for line in moves}
    assert wide == ({".v4"} if interleaved else {".v4", ".v2"})
    if name == "norm_turn_qk":
        assert ".shared" not in run.stdout.replace(".extern .shared", "")


BAD = {
    "eps": (dict(eps=-1), ValueError, "eps must be finite and at least 0, got -1"),
    "eps none": (dict(eps=None), TypeError, "eps must be a real number, got None"),
    "normalized": (dict(normalized="first"), ValueError, "normalized must be 'before' or 'after'"),
    "over": (dict(over="heads"), ValueError, "over must be 'head' or 'all', got 'heads'"),
    "pairing": (dict(pairing="neox"), ValueError, "pairing must be 'interleaved' or 'half'"),
    "backend": (dict(backend="cuda"), ValueError, "backend must be None or 'torch' or 'triton'"),
    "weight": (dict(q_weight=[1.0]), TypeError, "q_weight must be a torch.Tensor, got list"),
    "weight integers": (
        dict(k_weight=torch.ones(8, dtype=torch.int64)), TypeError, "k_weight must have a 16, 32",
    ),
    "weight short": (
        dict(k_weight=torch.ones(6)), ValueError,
        r"k_weight must be \(8,\) or \(1, 8\) for k .* and over='head', got \(6,\)",
    ),
    "weight of all": (
        dict(q_weight=torch.ones(8), over="all"), ValueError,
        r"q_weight must be \(16,\) or \(2, 8\) for q .* and over='all', got \(8,\)",
    ),
    "flat": (dict(q=torch.ones(3, 8), k=torch.ones(3, 8)), ValueError, "q must have at least 3"),
    "q": (dict(q=1.0), TypeError, "q must be a torch.Tensor, got float"),
    "k alone, flat": (dict(q=None, k=torch.ones(3, 8)), ValueError, "k must have at least 3"),
    "k narrow": (dict(k=torch.ones(1, 1, 3, 6)), ValueError, r"6 / 2 for k of shape"),
    "tables": (dict(cos=torch.ones(2, 4)), ValueError, "cos and sin must have the same shape"),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "error", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_named(changed, error, message):
    call = dict(
        q=torch.ones(1, 2, 3, 8), k=torch.ones(1, 1, 3, 8), q_weight=torch.ones(8),
        k_weight=torch.ones(8), cos=torch.ones(3, 4), sin=torch.zeros(3, 4), eps=EPS,
        pairing="half",
    ) | changed  # fmt: skip
    with pytest.raises(error, match=message):
        norm_rotate_qk(**call)


BAD_CACHES = {
    "slots": (dict(slots=torch.tensor([0, 9, 1])), ValueError, "slots must be below 9"),
    "k_cache": (dict(k_cache=torch.ones(2, 2, 9, 6)), ValueError, "k_cache must be"),
    "q_weight": (dict(q_weight=torch.ones(6)), ValueError, "q_weight must be"),
    "scale": (dict(k_scale=0), ValueError, "k_scale must be finite and greater than 0, got 0"),
    "scale of wide": (dict(v_scale=2), ValueError, "v_scale must be 1 for a cache of"),
    "one of 8 bits": (
        dict(v_cache=torch.zeros(2, 2, 9, 4).to(torch.float8_e4m3fn)), ValueError,
        "both be float8_e4m3fn, or neither",
    ),
    "gradient": (
        dict(k_weight=torch.ones(8).requires_grad_()), RuntimeError, "k_weight requires a gradient",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "error", "message"), BAD_CACHES.values(), ids=BAD_CACHES)
def test_a_bad_cache_is_named_and_untouched(changed, error, message):
    call = dict(
        q=torch.ones(2, 2, 3, 8), k=torch.ones(2, 2, 3, 8), v=torch.ones(2, 2, 3, 4),
        q_weight=torch.ones(8), k_weight=None, cos=torch.ones(3, 4), sin=torch.zeros(3, 4),
        k_cache=torch.zeros(2, 2, 9, 8), v_cache=torch.zeros(2, 2, 9, 4),
        slots=torch.tensor([0, 1, 2]), eps=EPS, pairing="half",
    ) | changed  # fmt: skip
    before = call["k_cache"].clone(), call["v_cache"].clone()
    with pytest.raises(error, match=message):
        norm_rotate_into_cache(**call)
    assert torch.equal(call["k_cache"], before[0])
    assert torch.equal(call["v_cache"].float(), before[1].float())
