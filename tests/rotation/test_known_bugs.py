"""What users of other libraries ran into: each reference stands in the docstring of a test.

Some of the tests are here; the others stand beside the part of the library that they are about. The
last test looks whether every reference is found.
"""

import ast
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rope_lib import (
    Precision,
    RotaryEmbedding,
    axes,
    inverse_frequencies,
    rotate,
    rotate_,
    rotation_tables,
    scaling,
)
from rope_lib.course import reference

SHIPPED = Precision(torch.float32, wide_tables=False, wide_arithmetic=False)
KINDS = {
    "plain": {},
    "YaRN": {"scaling": scaling.YaRN(4.0, 64)},
    "Llama 3": {"scaling": scaling.Llama3(8.0, 64)},
    "LongRoPE, fixed": {"scaling": scaling.Rescaled((1.0, 2.0, 3.0, 4.0), 1.2)},
    "partial": {"rotary_dim": 4},
    "the last numbers": {"rotary_dim": 6, "rotated": "last", "clockwise": True},
    "another order out": {"pairing": "interleaved", "output_pairing": "half"},
    "sections": {"axes": axes.sections([1, 2, 1])},
    "blocks, partial": {"rotary_dim": 4, "axes": axes.axial(4, blocks=True)},
    "as shipped": {"precision": SHIPPED, "scaling": scaling.Linear(2.0)},
}


def module(kind):
    return RotaryEmbedding(8, **{"pairing": "half", **KINDS[kind]})


def heads(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def some_positions(rope, length):
    """``(seq,)``, or one row for each axis."""
    rows = torch.arange(length)
    return (
        rows if rope.axes is None else torch.stack([rows + 7 * a for a in range(rope.axes.count)])
    )


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_a_table_has_no_layout(pairing):
    """ERNIE-Image#6: a table laid out for the other pairing was passed.

    Here tables have one number a pair, the same for both pairings; any full-width one is refused.
    """
    rope = RotaryEmbedding(8, pairing=pairing)
    cos, _ = rope.tables(torch.arange(3))
    assert cos.shape == (3, 4)
    assert torch.equal(cos, RotaryEmbedding(8, pairing="half").tables(torch.arange(3))[0])
    for full in (torch.cat((cos, cos), dim=-1), cos.repeat_interleave(2, dim=-1)):
        for turn in (rotate, rotate_):
            with pytest.raises(ValueError, match="one number for each pair"):
                turn(heads(3, 8), full, full, pairing=pairing)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_16_bit_result_is_the_exact_one_rounded(dtype, pairing):
    """modalities#462, sglang-jax#1472: at position 4096 and at 1,000,000 as at 1.

    Tables are float32, so one result in some thousands, next to a tie, may be rounded to the
    other side.
    """
    positions = torch.tensor([1, 4095, 4096, 131_071, 1_000_000])
    q, k = heads(2, 1, 64, 5, 64, dtype=dtype)
    turned = torch.stack(RotaryEmbedding(64, pairing=pairing)(q, k, positions))
    exact = reference.rotate(
        torch.stack((q, k)).double().numpy(), positions.numpy(), pairing=pairing
    )
    rounded = torch.from_numpy(exact).to(dtype)
    assert (turned != rounded).double().mean() < 1e-3
    torch.testing.assert_close(turned, rounded, rtol=torch.finfo(dtype).eps, atol=1e-6)


class Operations(TorchDispatchMode):
    """Writes down the names of all operations."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.add(str(operation).split(".")[1])
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", KINDS)
def test_no_angle_goes_through_a_matrix_product(kind):
    """transformers#48428: a matmul of positions and frequencies is rounded to TF32 on a GPU."""
    rope = module(kind)
    with Operations() as seen:
        rope(heads(1, 2, 5, 8), heads(1, 1, 5, 8), some_positions(rope, 5))
    assert {"mul", "cos", "sin"} <= seen.names
    assert not seen.names & {"mm", "bmm", "addmm", "addbmm", "baddbmm", "matmul", "dot", "mv",
                             "einsum", "outer", "ger", "linear", "tensordot"}  # fmt: skip


# PyTorch joins no bfloat16 tensors where autocast stands for float16.
MIXED = [(torch.float32, torch.bfloat16), (torch.float32, torch.float16),
         (torch.float64, torch.bfloat16), (torch.bfloat16, torch.bfloat16),
         (torch.float16, torch.float16)]  # fmt: skip


@pytest.mark.parametrize(("dtype", "autocast"), MIXED)
@pytest.mark.parametrize("kind", KINDS)
def test_autocast_changes_no_bit(kind, dtype, autocast):
    """diffusers#13922."""
    rope = module(kind)
    q, k = heads(2, 1, 3, 5, 8, dtype=dtype)
    outside = rope(q, k, some_positions(rope, 5))
    with torch.autocast("cpu", dtype=autocast):
        inside = rope(q, k, some_positions(rope, 5))
    for one, two in zip(inside, outside, strict=True):
        assert one.dtype == dtype
        assert torch.equal(one, two)


SHARES = {
    "gpt_neox": 0.25, "stablelm": 0.25, "phi": 0.5, "persimmon": 0.5, "glm4": 0.5, "nemotron": 0.5,
    "glm4_moe": 0.5, "qwen3_next": 0.25, "phi3": 1.0, "llama": 1.0, "minimax_m2": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("model_type", SHARES)
def test_partial_rotation_by_default(model_type):
    """mlx-lm#1698, transformers#41185, transformers#48652.

    The right share where the configuration is silent; it is applied once; and the frequencies are
    those of the width that is turned, not of the head.
    """
    config = {
        "model_type": model_type,
        "hidden_size": 512,
        "num_attention_heads": 8,
        "head_dim": 64,
    }
    rope = RotaryEmbedding.from_config(config)
    width = int(64 * SHARES[model_type])
    assert (rope.head_dim, rope.rotary_dim) == (64, width)
    cos, _ = rope.tables(torch.tensor([1]), torch.float64)
    assert torch.equal(cos[0], inverse_frequencies(width, rope.base).cos())
    q = heads(2, 3, 64)
    turned = rope(q, q, torch.tensor([3, 4, 5]))[0]
    assert torch.equal(turned[..., width:], q[..., width:])
    assert (turned[..., :width] != q[..., :width]).any(dim=0).all()


def test_what_is_remembered_answers_for_nothing_else():
    """rotary-embedding-torch#11, equinox 0.13: caches that ignored offset, base or dtype."""
    rope = RotaryEmbedding(8, pairing="half")
    q = heads(2, 5, 8, dtype=torch.float64)
    before = dict(vars(rope))
    for dtype in (torch.bfloat16, torch.float64, torch.float32):
        for offset in (7, 0, 1000):
            for base in (10_000.0, 500.0):
                rope.base = base
                x, positions = q.to(dtype), torch.arange(5) + offset
                new = RotaryEmbedding(8, pairing="half", base=base)
                assert torch.equal(rope(x, x, positions)[0], new(x, x, positions)[0])
                exact = reference.rotate(
                    x.double().numpy(), positions.numpy(), base, pairing="half"
                )
                bound = (
                    {"rtol": 2.0**-7, "atol": 1e-6} if dtype != torch.float64 else {"rtol": 1e-9}
                )
                np.testing.assert_allclose(
                    rope(x, x, positions)[0].double().numpy(), exact, **bound
                )
    changed = {name for name, value in vars(rope).items() if value is not before[name]}
    assert changed == {"base", "_last"}
    assert pickle.loads(pickle.dumps(rope))._last is None
    assert not rope.state_dict()


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_in_place_marks_the_tensor_dirty(pairing, dtype):
    """unsloth#5001, Liger#342: a backward pass that needs the old values fails, loudly."""
    tables = rotation_tables(torch.arange(3) + 1, inverse_frequencies(8))
    x = heads(3, 8, dtype=dtype)
    version = x._version
    rotate_(x, *tables, pairing=pairing)
    assert x._version > version
    leaf = heads(3, 8, dtype=dtype).requires_grad_()
    hidden = leaf * 1.0
    needs_hidden = (hidden * hidden).sum()
    rotate_(hidden, *tables, pairing=pairing)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        needs_hidden.backward()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_module_is_out_of_place_and_reads_strided_and_single_heads(kind, dtype):
    """unsloth#5001, Liger#342."""
    rope = module(kind)
    store = heads(2, 5, 6, 12, dtype=dtype)
    q, k = store.transpose(1, 2)[..., 2:10], store.transpose(1, 2)[:, :1, :, :8]
    before, version = store.clone(), store._version
    turned_q, turned_k = rope(q, k, some_positions(rope, 5))
    assert torch.equal(store, before)
    assert store._version == version
    again_q, again_k = rope(q.contiguous(), k.contiguous(), some_positions(rope, 5))
    alone, _ = rope(k[:, 0], k[:, 0], some_positions(rope, 5))
    for result, expected in ((turned_q, again_q), (turned_k, again_k), (turned_k[:, 0], alone)):
        torch.testing.assert_close(result, expected, rtol=torch.finfo(dtype).eps, atol=1e-6)
    assert turned_q.data_ptr() != q.data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_positions_are_never_clamped_or_wrapped(kind):
    """torchtune: positions past a table. There is no last position here, and none before 0."""
    rope = module(kind)
    far = some_positions(rope, 3) + 10**6
    assert not torch.equal(rope.tables(far)[0], rope.tables(far - 1)[0])
    with pytest.raises(ValueError, match="positions must not be negative, got -1"):
        rope.tables(some_positions(rope, 3) - 1)
    with pytest.raises(ValueError, match="positions must not be negative, got -1"):
        rope(heads(1, 3, 8), heads(1, 3, 8), some_positions(rope, 3) - 1)
    signed = RotaryEmbedding(8, **{"pairing": "half", **KINDS[kind]}, signed=True)
    behind, ahead = (signed.tables(sign * some_positions(rope, 3)) for sign in (-1, 1))
    assert torch.equal(behind[0], ahead[0])
    assert torch.equal(behind[1], -ahead[1])


@pytest.mark.parametrize(("angles", "bits"), [(torch.float32, 24), (torch.float64, 53)])
def test_positions_that_cannot_be_told_apart_are_refused(angles, bits):
    """torchtune: positions out of range raise. Here the range ends where neighbours become one."""
    rope = RotaryEmbedding(8, pairing="half", signed=True, precision=Precision(angles))
    rope.tables(torch.tensor([2**bits - 1, 1 - 2**bits]))
    for position in (2**bits, -(2**bits)):
        with pytest.raises(ValueError, match=f"positions must be below {2**bits}"):
            rope.tables(torch.tensor([0, position]))


@pytest.mark.parametrize("kind", KINDS)
def test_built_and_moved_from_the_meta_device(kind):
    """transformers#45902, transformers#48892: tables computed on "meta" were left empty."""
    with torch.device("meta"):
        rope = module(kind)
    rope = rope.to_empty(device="cpu")
    for one, two in zip(rope.tables(some_positions(rope, 4)), module(kind).tables(
        some_positions(rope, 4)), strict=True):  # fmt: skip
        assert one.device.type == "cpu"
        assert torch.equal(one, two)


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_2_to_the_31_elements(kind):
    """fla#1082: 32-bit offsets in a kernel.

    What is proved: shapes of 2**32 numbers pass every check and come out whole (on the meta device,
    which computes none of them), positions past 2**32 are not cut to 32 bits, and a view that
    begins far into its storage is turned right. The numbers themselves are PyTorch's to index;
    the library does no pointer arithmetic.
    """
    rope = module(kind)
    with torch.device("meta"):
        q, k = torch.empty(8, 32, 2**21, 8), torch.empty(8, 4, 2**21, 8)
        positions = some_positions(rope, 2**21)
        assert q.numel() > 2**31
        assert [x.shape for x in rope(q, k, positions)] == [q.shape, k.shape]
    if rope.precision.angles == torch.float32:
        return  # whose positions end at 2**24: see the test of the range
    near, far = some_positions(rope, 4), some_positions(rope, 4) + 2**33
    assert not torch.allclose(rope.tables(near)[0][:, 0], rope.tables(far)[0][:, 0])
    exact = np.cos((2**33 + 1) * inverse_frequencies(8).numpy())
    cos, _ = module("plain").tables(torch.tensor([2**33 + 1]), torch.float64)
    np.testing.assert_allclose(cos[0].numpy(), exact, rtol=0, atol=1e-5)


@pytest.fixture
def fresh_compiler():
    """Each test compiles from nothing, and leaves nothing."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("kind", KINDS)
def test_one_graph_under_compile(kind, fresh_compiler):
    """pytorch#125718, with everything that can be asked for."""
    rope = module(kind)
    q, k = heads(2, 1, 2, 3, 8)
    compiled = torch.compile(rope, fullgraph=True, backend="aot_eager")
    for length in (3, 5):
        q, k = heads(2, 1, 2, length, 8)
        expected = rope(q, k, some_positions(rope, length))
        torch.testing.assert_close(compiled(q, k, some_positions(rope, length)), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_exported_with_a_dynamic_length(kind, fresh_compiler):
    """pytorch#125718: one program for all lengths."""
    rope = module(kind)
    seq = torch.export.Dim("seq", min=2, max=4096)
    where = {0: seq} if rope.axes is None else {1: seq}
    q, k = heads(2, 1, 2, 3, 8)
    exported = torch.export.export(
        rope, (q, k, some_positions(rope, 3)), dynamic_shapes=({2: seq}, {2: seq}, where)
    ).module()
    q, k = heads(2, 1, 2, 11, 8)
    expected = rope(q, k, some_positions(rope, 11))
    torch.testing.assert_close(exported(q, k, some_positions(rope, 11)), expected)


REFERENCES = [
    "transformers#25199",
    "gpt-fast#190",
    "ERNIE-Image#6",
    "gpt-neox#1003",
    "transformers#25681",
    "transformers#29285",
    "modalities#462",
    "sglang-jax#1472",
    "transformers#48428",
    "diffusers#13922",
    "transformers#25104",
    "transformers#27227",
    "vllm#3488",
    "transformers#33129",
    "vllm#27431",
    "transformers#42189",
    "transformers#47435",
    "mlx-lm#1507",
    "DeepSpeed#8345",
    "vllm#42624",
    "mlx-lm#1698",
    "transformers#41185",
    "transformers#48652",
    "zml#660",
    "mlx-vlm#1709",
    "ollama#13452",
    "rotary-embedding-torch#11",
    "unsloth#5001",
    "Liger#342",
    "unsloth#3699",
    "OLMo-core#591",
    "torchtitan#2559",
    "transformers#45902",
    "transformers#48892",
    "fla#1082",
    "pytorch#125718",
    "torchtune",
    "equinox 0.13",
    # the second round
    "executorch#22043",
    "transformers#43756",
    "sglang#13495",
    "vllm#28968",
    "mlx-lm#1431",
    "vllm#48621",
    "Megatron-LM#1429",
    "sglang#26203",
    "unsloth#7028",
    "radixark/miles#963",
    "transformers#39687",
    "vllm#55335",
    "vllm#57672",
    "llama.cpp#4097",
    "transformers#48669",
    "diffusers#12538",
    "candle#3568",
    "LongLive#61",
    "vllm#56066",
    "vllm#46280",
    "sglang#38786",
]


def docstrings_of_tests():
    """The docstrings of all test functions and classes, wherever a test stands."""
    for path in sorted(Path(__file__).parent.parent.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_named = isinstance(node, ast.FunctionDef | ast.ClassDef)
            if is_named and node.name.lower().startswith("test"):
                yield ast.get_docstring(node) or ""


def test_every_reference_is_in_the_docstring_of_a_test():
    found = "\n".join(docstrings_of_tests())
    assert len(REFERENCES) == 59
    missing = [each for each in REFERENCES if not re.search(re.escape(each) + r"(?!\d)", found)]
    assert not missing
