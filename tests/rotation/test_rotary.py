"""The module that a model holds."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from rope_lib import NTK, DynamicNTK, Linear, LongRoPE, RotaryEmbedding, axial
from rope_lib.course import reference
from rope_lib.positions import packed_positions


def heads(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@given(
    pairs=st.integers(1, 8),
    still=st.integers(0, 3),
    base=st.sampled_from([100.0, 10_000.0, 5e5]),
    pairing=st.sampled_from(["interleaved", "half"]),
    seed=st.integers(0, 999),
)
def test_scores_agree_with_the_specification(pairs, still, base, pairing, seed):
    rotary_dim, positions = 2 * pairs, torch.tensor([0, 1, 7, 4000])
    q, k = heads(2, 3, 4, rotary_dim + still, seed=seed)
    rope = RotaryEmbedding(rotary_dim + still, pairing=pairing, base=base, rotary_dim=rotary_dim)
    turned_q, turned_k = rope(q, k, positions)
    expected = reference.scores(
        q[..., :rotary_dim].numpy(), k[..., :rotary_dim].numpy(), positions.numpy(), base,
        pairing=pairing,
    ) + (q[..., rotary_dim:] @ k[..., rotary_dim:].transpose(-1, -2)).numpy()  # fmt: skip
    scores = turned_q @ turned_k.transpose(-1, -2)
    np.testing.assert_allclose(scores.numpy(), expected, rtol=0, atol=1e-9)
    assert torch.equal(turned_q[..., rotary_dim:], q[..., rotary_dim:])


def test_grouped_queries_and_rows_of_their_own():
    q, k = heads(2, 6, 3, 8), heads(2, 2, 3, 8, seed=1)
    positions = torch.tensor([[0, 1, 2], [5, 6, 7]])
    rope = RotaryEmbedding(8, pairing="half")
    turned_q, turned_k = rope(q, k, positions[:, None, :])
    for row in range(2):
        alone_q, alone_k = rope(q[row], k[row], positions[row])
        assert torch.equal(turned_q[row], alone_q)
        assert torch.equal(turned_k[row], alone_k)


def test_one_token_at_a_time_is_the_whole_at_once():
    q, k = heads(2, 1, 3, 5, 8)
    rope = RotaryEmbedding(8, pairing="interleaved")
    whole_q, whole_k = rope(q, k, torch.arange(5))
    for step in range(5):
        row = slice(step, step + 1)
        for position in (torch.tensor([step]), torch.tensor(step)):
            one_q, one_k = rope(q[..., row, :], k[..., row, :], position)
            assert torch.equal(one_q, whole_q[..., row, :])
            assert torch.equal(one_k, whole_k[..., row, :])


@pytest.mark.parametrize("cast", [torch.nn.Module.half, torch.nn.Module.bfloat16])
def test_casting_the_module_leaves_the_tables_exact(cast):
    """gpt-neox#1003, transformers#25681, transformers#29285."""
    rope = RotaryEmbedding(64, pairing="half")
    before = rope.tables(torch.tensor([0, 4096, 1_000_000]))
    after = cast(rope).tables(torch.tensor([0, 4096, 1_000_000]))
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_nothing_to_save_and_everything_to_copy():
    rope = RotaryEmbedding(8, pairing="half", base=5e5, rotary_dim=4)
    assert rope.state_dict() == {}
    assert list(rope.buffers()) == []
    q, k = heads(2, 1, 3, 8)
    expected = rope(q, k, torch.arange(3))
    for other in (copy.deepcopy(rope), pickle.loads(pickle.dumps(rope))):
        assert all(
            torch.equal(a, b) for a, b in zip(other(q, k, torch.arange(3)), expected, strict=True)
        )


def test_built_on_the_meta_device_it_is_whole():
    """transformers#45902, transformers#48892: there is nothing to materialise."""
    with torch.device("meta"):
        rope = RotaryEmbedding(8, pairing="half")
    q, k = heads(2, 1, 3, 8)
    rotated = rope.to_empty(device="cpu")(q, k, torch.arange(3))
    expected = RotaryEmbedding(8, pairing="half")(q, k, torch.arange(3))
    assert all(torch.equal(a, b) for a, b in zip(rotated, expected, strict=True))


def test_low_precision_inputs_are_turned_by_exact_tables():
    q, k = heads(2, 1, 3, 8, dtype=torch.bfloat16)
    positions = torch.tensor([4095, 4096, 1_000_000])
    rope = RotaryEmbedding(8, pairing="half")
    for turned, x in zip(rope(q, k, positions), (q, k), strict=True):
        exact = reference.rotate(x.double().numpy(), positions.numpy(), pairing="half")
        assert turned.dtype == torch.bfloat16
        np.testing.assert_allclose(turned.double().numpy(), exact, rtol=2**-8, atol=1e-6)


def test_a_compiler_that_takes_every_number_for_a_variable_makes_one_graph():
    """So it does of its own accord, once two modules differ in their base."""
    q, k = heads(2, 1, 3, 8, dtype=torch.float32)
    for base in (1e4, 5e5):
        rope = RotaryEmbedding(8, pairing="interleaved", base=base)
        compiled = torch.compile(rope, fullgraph=True, dynamic=True, backend="aot_eager")
        torch.testing.assert_close(compiled(q, k, torch.arange(3)), rope(q, k, torch.arange(3)))


def test_numbers_that_cannot_be_looked_at_are_not():
    rope = RotaryEmbedding(8, pairing="half")
    q, positions = heads(2, 3, 8), torch.tensor([[0.0, 1, 2], [5, 6, 7]])
    mapped, _ = torch.vmap(rope)(q, q, positions)
    torch.testing.assert_close(mapped, rope(q, q, positions)[0])
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(q)
        assert rope(fake, fake, mode.from_tensor(positions))[0].shape == q.shape


def test_apple_s_gpus_form_angles_on_the_cpu():
    """They have no float64. The fake tensor stands in for one of theirs."""

    class NoFloat64There(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            made = operation(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor) and made.device.type == "mps":
                assert made.dtype != torch.float64
            return made

    with FakeTensorMode() as mode, NoFloat64There():
        positions = FakeTensor(mode, torch.empty(5, device="meta"), torch.device("mps:0"))
        cos, sin = RotaryEmbedding(8, pairing="half").tables(positions)
    assert cos.device == sin.device == positions.device


def test_it_shows_what_it_is():
    shown = repr(RotaryEmbedding(8, pairing="half", base=1_234_567, rotary_dim=4))
    assert shown == "RotaryEmbedding(8, pairing='half', base=1234567, rotary_dim=4)"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_narrow_query_does_not_narrow_the_key(dtype):
    q, k = heads(2, 1, 3, 8)
    rope, positions = RotaryEmbedding(8, pairing="half"), torch.tensor([1, 5, 9])
    assert torch.equal(rope(q.to(dtype), k, positions)[1], rope(q, k, positions)[1])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.float32])
def test_positions_of_every_kind_that_can_count(dtype):
    rope = RotaryEmbedding(8, pairing="half")
    expected = rope.tables(torch.tensor([0, 7, 200]))
    assert torch.equal(rope.tables(torch.tensor([0, 7, 200]).to(dtype))[1], expected[1])


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_one_graph_under_compile_and_export(pairing):
    """pytorch#125718: no graph break, and an exported program for any length."""
    rope = RotaryEmbedding(8, pairing=pairing, rotary_dim=6)
    q, k = heads(2, 1, 3, 8, dtype=torch.float32)
    expected = rope(q, k, torch.arange(3))
    compiled = torch.compile(rope, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(q, k, torch.arange(3)), expected)

    seq = torch.export.Dim("seq", min=2, max=4096)
    exported = torch.export.export(
        rope, (q, k, torch.arange(3)), dynamic_shapes=({1: seq}, {1: seq}, {0: seq})
    ).module()
    longer_q, longer_k = heads(2, 1, 11, 8, dtype=torch.float32)
    torch.testing.assert_close(
        exported(longer_q, longer_k, torch.arange(11)), rope(longer_q, longer_k, torch.arange(11))
    )


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(head_dim=7), ValueError, "head_dim must be even.*got 7"),
        (dict(head_dim="8"), TypeError, "head_dim must be an integer, got '8'"),
        (dict(head_dim=8.5, rotary_dim=4), TypeError, "head_dim must be an integer, got 8.5"),
        (dict(rotary_dim=3), ValueError, "rotary_dim must be even.*got 3"),
        (dict(rotary_dim=10), ValueError, "rotary_dim must be at most head_dim = 8, got 10"),
        (dict(rotary_dim=0), ValueError, "rotary_dim must be at least 1, got 0"),
        (dict(base=0), ValueError, "base must be finite and greater than 0, got 0"),
        (dict(base=float("nan")), ValueError, "base must be finite .* got nan"),
        (dict(pairing="neox"), ValueError, "pairing must be 'interleaved' or 'half', got 'neox'"),
        (dict(output_pairing=""), ValueError, "output_pairing must be 'interleaved' or 'half'"),
        (dict(output_pairing="neox"), ValueError, "output_pairing must be .* got 'neox'"),
        (dict(rotated="middle"), ValueError, "rotated must be 'first' or 'last', got 'middle'"),
        (dict(clockwise=1), TypeError, "clockwise must be bool, got 1"),
        (dict(signed="no"), TypeError, "signed must be bool, got 'no'"),
        (dict(scaling="yarn"), TypeError, "scaling must be Linear or .* got 'yarn'"),
        (dict(axes=2), TypeError, "axes must be Axes or None, got 2"),
        (
            dict(precision=torch.float32),
            TypeError,
            "precision must be Precision, got torch.float32",
        ),
        (dict(head_dim=10**30), ValueError, "head_dim must be at most"),
        (dict(base=10**400), ValueError, "base must be finite and greater than 0"),
        (
            dict(scaling=NTK(1e300)),
            ValueError,
            "the base that factor = 1e.300 leads to must be fin",
        ),
        (dict(head_dim=2, scaling=DynamicNTK(2.0, 8)), ValueError, "rotary_dim of at least 4"),
        (
            dict(scaling=LongRoPE((1.0,) * 3, (1.0,) * 3, 64)),
            ValueError,
            "must hold 4 numbers, got 3",
        ),
    ],
)
def test_bad_settings_are_named(changed, error, message):
    settings = dict(head_dim=8, pairing="half") | changed
    with pytest.raises(error, match=message):
        RotaryEmbedding(settings.pop("head_dim"), **settings)


def test_the_pairing_has_no_default():
    with pytest.raises(TypeError, match="pairing"):
        RotaryEmbedding(8)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(q=torch.ones(1, 2, 3, 6)), ValueError, "q must have head_dim = 8 as its last"),
        (dict(k=torch.ones(1, 2, 3, 6)), ValueError, "k must have head_dim = 8 as its last"),
        (dict(q=torch.ones(8)), ValueError, "q must have at least 2 dimension"),
        (dict(k=torch.ones(1, 2, 3, 8).int()), TypeError, "k must have .* torch.int32"),
        (dict(k=torch.ones(1, 2, 4, 8)), ValueError, r"positions must have shape \(4,\).*fit k"),
        (dict(positions=torch.arange(4)), ValueError, r"positions must have shape \(3,\).*fit q"),
        (dict(positions=torch.zeros(2, 3).long()), ValueError, r"positions must .* \(batch, 3\)"),
        (dict(positions=torch.zeros(2, 1, 3).long()), ValueError, r"positions must .* \(2, 1, 3\)"),
        (dict(positions=torch.ones(3, device="meta")), ValueError, "positions is on meta but q on"),
        (dict(positions=torch.ones(3).to(torch.float8_e5m2)), TypeError, "positions must .*float8"),
        (dict(k=torch.ones(1, 2, 3, 8, device="meta")), ValueError, "on cpu but k on meta"),
        (dict(positions=torch.tensor([0, -1, 2])), ValueError, "must not be negative, got -1"),
        (dict(positions=torch.tensor([0, 0.5, -1])), ValueError, "must not be negative, got -1"),
        (dict(positions=[0, 1, 2]), TypeError, "positions must be a torch.Tensor or an integer"),
        (dict(positions=torch.ones(3).bool()), TypeError, "positions must be .*torch.bool"),
        (dict(positions=torch.full((3,), torch.nan)), ValueError, "positions must be finite"),
    ],
)
def test_bad_calls_are_named(changed, error, message):
    """Out-of-range positions raise (torchtune clamps or wraps them)."""
    call = dict(q=torch.ones(1, 2, 3, 8), k=torch.ones(1, 2, 3, 8), positions=torch.arange(3))
    with pytest.raises(error, match=message):
        RotaryEmbedding(8, pairing="half")(**(call | changed))


ROPE = RotaryEmbedding(8, pairing="half")
KEYS = torch.ones(2, 3, 8)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (dict(k=torch.ones(2, 3, 6)), ValueError, "k must have head_dim = 8"),
        (dict(k=[1.0]), TypeError, "k must be a torch.Tensor"),
        (dict(old_positions=[0, 1, 2]), TypeError, "positions must be a torch.Tensor, got list"),
        (dict(new_positions=torch.arange(4)), ValueError, r"positions must have shape \(3,\)"),
        (dict(new_positions=torch.arange(3) - 1), ValueError, "must not be negative, got -1"),
        (dict(old_positions=torch.ones(3).bool()), TypeError, "positions must be .*torch.bool"),
        (dict(to="other"), TypeError, "to must be RotaryEmbedding, got 'other'"),
        (dict(to=RotaryEmbedding(8, pairing="interleaved")), ValueError, "to must rotate the same"),
        (dict(to=RotaryEmbedding(8, pairing="half", rotary_dim=4)), ValueError, "to must rotate"),
        (dict(to=RotaryEmbedding(8, pairing="half", clockwise=True)), ValueError, "to must rotate"),
        (dict(to=RotaryEmbedding(10, pairing="half", rotary_dim=8)), ValueError, "to must rotate"),
        (
            dict(to=RotaryEmbedding(8, pairing="half", axes=axial(8, blocks=True))),
            ValueError,
            "to m",
        ),
    ],
)
def test_bad_rerotations_are_named(changed, error, message):
    call = dict(k=KEYS, old_positions=torch.arange(3), new_positions=torch.arange(3), to=None)
    with pytest.raises(error, match=message):
        ROPE.rerotate(**(call | changed))


@pytest.mark.parametrize("tokens", [0, -1, 1.5, "8", None, True])
@pytest.mark.parametrize("scaling", [None, Linear(2.0), DynamicNTK(2.0, 16)])
def test_a_bad_length_is_named(tokens, scaling):
    with pytest.raises((TypeError, ValueError), match="tokens must be"):
        RotaryEmbedding(8, pairing="half", scaling=scaling).for_length(tokens)


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize("rotated", ["first", "last"])
def test_the_direction_and_the_place_of_the_turn(clockwise, rotated):
    rope = RotaryEmbedding(6, pairing="half", rotary_dim=4, clockwise=clockwise, rotated=rotated)
    q, positions = heads(3, 6), torch.tensor([1, 5, 9])
    turned, _ = rope(q, q, positions)
    start = 2 if rotated == "last" else 0
    signed = (-positions if clockwise else positions).numpy()
    part = reference.rotate(q[:, start : start + 4].numpy(), signed, pairing="half")
    np.testing.assert_allclose(turned[:, start : start + 4].numpy(), part, atol=1e-12)
    still = slice(4, 6) if rotated == "first" else slice(0, 2)
    assert torch.equal(turned[:, still], q[:, still])


def test_defaults_turn_all_of_a_head_counter_clockwise_and_keep_its_order():
    rope = RotaryEmbedding(6, pairing="interleaved")
    assert (rope.rotary_dim, rope.base, rope.output_pairing) == (6, 10_000, "interleaved")
    assert (rope.clockwise, rope.signed, rope.rotated) == (False, False, "first")
    assert (rope.scaling, rope.axes, rope.amplitude) == (None, None, 1)


@pytest.mark.parametrize("kind", ["usual", "another order out", "blocks"])
def test_layers_can_share_ready_tables(kind):
    settings = {
        "usual": dict(pairing="half", rotary_dim=6, rotated="last", clockwise=True),
        "another order out": dict(pairing="interleaved", output_pairing="half"),
        "blocks": dict(pairing="half", axes=axial(8, blocks=True)),
    }[kind]
    rope, positions = RotaryEmbedding(8, **settings), torch.tensor([3, 1, 4])
    positions = positions if rope.axes is None else torch.stack([positions, positions + 1])
    q, k = heads(2, 4, 3, 8), heads(2, 1, 3, 8, seed=1)
    ready = rope.rotate(q, k, *rope.tables(positions, torch.float64))
    for result, expected in zip(ready, rope(q, k, positions), strict=True):
        assert torch.equal(result, expected)


def test_tables_of_another_width_are_no_partial_rotation():
    rope, q = RotaryEmbedding(8, pairing="half"), heads(1, 2, 3, 8)
    narrow = RotaryEmbedding(8, pairing="half", rotary_dim=4).tables(torch.arange(3))
    with pytest.raises(ValueError, match=r"cos must hold 4 numbers .* got shape \(3, 2\)"):
        rope.rotate(q, q, *narrow)
    with pytest.raises(ValueError, match=r"q must have head_dim = 8"):
        rope.rotate(q[..., :4], q, *rope.tables(torch.arange(3)))
    with pytest.raises(TypeError, match=r"cos must be a torch\.Tensor"):
        rope.rotate(q, q, 1.0, 0.0)
    with pytest.raises(
        ValueError,
        match=r"backend must be None or 'torch' or 'compile' or 'triton' or 'onnx', got 'cuda'$",
    ):
        RotaryEmbedding(8, pairing="half", backend="cuda")


def test_keys_that_are_moved_again_and_again():
    """vllm#57672, llama.cpp#4097: each move rounds, unless it begins with what was turned first."""
    rope = RotaryEmbedding(64, pairing="half")
    k = torch.randn(1, 1, 16, 64, dtype=torch.bfloat16)
    first, moves = torch.arange(16) + 1000, 300
    turned = drifting = rope(None, k, first)[1]
    for step in range(moves):
        drifting = rope.rerotate(drifting, first - step, first - step - 1)
    moved = rope.rerotate(turned, first, first - moves)
    exact = rope(None, k.float(), first - moves)[1]
    drift, once = ((x - exact).abs().max().item() for x in (drifting, moved))
    assert once < 0.04  # two roundings of numbers up to 4
    assert drift > 3 * once


def test_nested_tensors_are_told_how():
    """Sequences of several lengths in one tensor: their values turn by packed positions."""
    parts = [torch.randn(length, 2, 8) for length in (3, 5)]
    jagged = torch.nested.nested_tensor(parts, layout=torch.jagged)
    rope = RotaryEmbedding(8, pairing="half", layout="thd")
    with pytest.raises(
        TypeError, match=r"rotate its values.. with layout='thd' and packed_positions"
    ):
        rope(jagged, None, torch.arange(8))
    turned, _ = rope(jagged.values(), None, packed_positions(jagged.offsets()))
    alone = [rope(part, None, torch.arange(len(part)))[0] for part in parts]
    assert torch.equal(turned, torch.cat(alone))
