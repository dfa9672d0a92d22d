"""Naming a rotation by calling it: our own in all their forms, and what is no rotation."""

import math
import re

import numpy as np
import pytest
import torch

from rope_lib import RotaryEmbedding
from rope_lib.functional import Precision
from rope_lib.models.identify import NoRotationError, identify
from rope_lib.models.probing.blocks import find_blocks, matrices
from rope_lib.models.probing.probe import Calls, check_calls
from rope_lib.models.probing.speeds import measure_speeds
from rope_lib.scaling import NTK, Linear, Llama3, Proportional, Rescaled, YaRN


def called(rope):
    return lambda x, positions: rope(x, None, positions)[0]


def ladder(width, base=10_000.0):
    return base ** (-torch.arange(0, width, 2).double() / width)


def turning(angles_at, width=64):
    """A rotation in half pairing of anyone's make: ``angles_at(positions)``, (seq, pairs)."""

    def function(x, positions):
        angles = angles_at(positions)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = x[..., : width // 2], x[..., width // 2 :]
        return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)

    return function


def plain(positions):
    return positions.double()[:, None] * ladder(64)


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
    calls, blocks, speeds = measured(called(rope), head_dim)
    assert calls.axis == layout.index("s")
    step = 1 if pairing == "interleaved" else head_dim // 2
    assert (blocks.inputs[:, 1] - blocks.inputs[:, 0] == step).all()
    expected = ladder(head_dim, rope.base)
    torch.testing.assert_close(speeds.frequencies, expected, rtol=1e-9, atol=0)


def test_frequencies_are_refined_although_each_angle_is_rounded_to_float32():
    rope = RotaryEmbedding(64, pairing="half")
    _, _, speeds = measured(lambda x, p: rope(x.float(), None, p)[0], 64)
    torch.testing.assert_close(speeds.frequencies, ladder(64), rtol=1e-7, atol=0)
    assert (speeds.errors <= 1e-4).all()


@pytest.mark.parametrize(
    "how",
    [
        {"pairing": "half"},
        {"pairing": "interleaved", "base": 500_000.0},
        {"pairing": "half", "rotary_dim": 32, "rotated": "last", "clockwise": True},
        {"pairing": "interleaved", "rotary_dim": 24, "base": 1_000_000.0},
        {"pairing": "interleaved", "rotary_dim": 48, "rotated": "last", "output_pairing": "half"},
        {"pairing": "half", "output_pairing": "interleaved", "layout": "thd"},
        {"pairing": "half", "layout": "bshd", "base": 10_007.0, "clockwise": True},
        {"pairing": "interleaved", "layout": "sbhd", "base": 150_000.0},
    ],
)
@pytest.mark.parametrize("head_dim", [64, 256])
def test_every_part_of_our_own_is_named(how, head_dim):
    rope = RotaryEmbedding(head_dim, **how)
    found = identify(called(rope), head_dim)
    again = RotaryEmbedding(**found.arguments())
    assert repr(again) == repr(rope)
    assert (found.amplitude, found.origin, found.precision) == (1.0, 0.0, "exact")
    assert found.residual < 1e-9
    assert found.positions == "each"


@pytest.mark.parametrize(
    "scaling",
    [
        Linear(4.0),
        Linear(2.5),
        NTK(8.0),
        YaRN(4.0, 4096),
        YaRN(32.0, 8192, truncate=False),
        YaRN(16.0, 4096, beta_fast=64.0, attention_factor=1.0),
        YaRN(40.0, 4096, mscale=1.0, mscale_all_dim=1.0),
        Llama3(8.0, 8192),
        Llama3(32.0, 8192),
        Llama3(16.0, 4096, high_freq_factor=8.0),
        Proportional(0.25),
        Proportional(0.5, 8.0),
    ],
)
@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_scalings_are_named_and_give_the_same_frequencies(scaling, base, pairing):
    rope = RotaryEmbedding(128, pairing=pairing, base=base, scaling=scaling)
    found = identify(called(rope), 128)
    assert found.base == base
    assert type(found.scaling) is type(scaling)
    assert found.scaling.amplitude == pytest.approx(scaling.amplitude, rel=1e-4)
    assert found.amplitude == pytest.approx(scaling.amplitude)
    if scaling not in (YaRN(40.0, 4096, mscale=1.0, mscale_all_dim=1.0),):
        assert found.scaling == scaling
    expected = scaling.inverse_frequencies(128, base)
    frequencies = torch.tensor(found.frequencies, dtype=torch.float64)
    torch.testing.assert_close(frequencies, expected, rtol=1e-9, atol=0)
    assert RotaryEmbedding(**found.arguments()).base == base


@pytest.mark.parametrize("head_dim", [4, 8, 16])
@pytest.mark.parametrize("scaling", [None, YaRN(4.0, 4096), Llama3(8.0, 8192), NTK(3.0)])
def test_few_pairs_may_be_named_otherwise_but_turn_the_same(head_dim, scaling):
    rope = RotaryEmbedding(head_dim, pairing="half", scaling=scaling)
    again = RotaryEmbedding(**identify(called(rope), head_dim).arguments())
    x, positions = torch.ones(1, 1, 50, head_dim).double(), torch.arange(50) * 3
    torch.testing.assert_close(called(again)(x, positions), called(rope)(x, positions),
                               atol=2e-3, rtol=0)  # fmt: skip


def test_one_factor_for_each_pair_is_given_back():
    factors = tuple(1 + 0.5 * (k % 3) + k / 7 for k in range(32))
    rope = RotaryEmbedding(64, pairing="half", scaling=Rescaled(factors, 1.2))
    found = identify(called(rope), 64)
    again = RotaryEmbedding(**found.arguments())
    x, positions = torch.ones(1, 1, 9, 64).double(), torch.arange(9) * 1000
    torch.testing.assert_close(called(again)(x, positions), called(rope)(x, positions),
                               atol=1e-6, rtol=0)  # fmt: skip
    assert any("one factor for each pair" in remark for remark in found.remarks)


def test_a_rotary_embedding_can_be_handed_over_as_it_is():
    rope = RotaryEmbedding(64, pairing="half", base=500_000.0)
    assert repr(RotaryEmbedding(**identify(rope, 64).arguments())) == repr(rope)


def test_what_was_identified_with_odd_numbers_turns_alike_far_away():
    function = turning(lambda p: plain(p) / 3.7)
    again = RotaryEmbedding(**identify(function, 64).arguments())
    x, positions = torch.ones(1, 1, 2, 64).double(), torch.tensor([1000, 100_000])
    torch.testing.assert_close(called(again)(x, positions), function(x, positions), atol=1e-6,
                               rtol=0)  # fmt: skip


def test_an_amplitude_beside_the_scaling_is_kept():
    rope = RotaryEmbedding(64, pairing="half")
    found = identify(lambda x, p: 1.3 * rope(x, None, p)[0], 64)
    assert found.amplitude == pytest.approx(1.3)
    assert found.scaling is None
    assert RotaryEmbedding(**found.arguments()).amplitude == pytest.approx(1.3)


def rounded(dtype, what):
    def angles_at(positions):
        places, rates = positions.double(), ladder(64)
        if what == "positions":
            places = places.to(dtype).double()
        if what == "frequencies":
            rates = rates.to(dtype).double()
        angles = places[:, None] * rates
        return angles.to(dtype).double() if what == "angles" else angles

    return turning(angles_at)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("what", ["positions", "frequencies", "angles"])
def test_what_is_rounded_is_named(dtype, what):
    found = identify(rounded(dtype, what), 64)
    assert f"{what} in {str(dtype).removeprefix('torch.')}" in found.precision
    assert (found.base, found.scaling) == (10_000.0, None)


def test_float32_angles_and_tables_of_16_bits_are_named():
    coarse = RotaryEmbedding(64, pairing="half", precision=Precision(angles=torch.float32))
    assert identify(called(coarse), 64).precision == "float32 angles"
    exact = RotaryEmbedding(64, pairing="half")
    in_bfloat16 = identify(called(exact), 64, dtype=torch.bfloat16)
    assert in_bfloat16.precision == "exact, results in bfloat16"
    assert in_bfloat16.base == 10_000.0
    tables = identify(lambda x, p: called(exact)(x.bfloat16(), p), 64)
    assert tables.precision == "tables or results in bfloat16"


@pytest.mark.parametrize(
    ("angles_at", "said"),
    [
        (lambda p: plain(p) * 180 / math.pi, "degrees taken for radians"),
        (lambda p: plain(p) * math.pi / 180, "radians taken for degrees"),
        (lambda p: 2 * plain(p), "2 times as fast"),
        (lambda p: plain(p).flip(-1), "reversed order"),
        (lambda p: math.pi / 2 - plain(p), "cosine and sine are swapped"),
        (lambda p: p[:, None] * ladder(62, 10_000.0).new_tensor(
            [10_000.0 ** (-2 * i / 62) for i in range(32)]), "2i / .width - 2."),
        (lambda p: plain(p) * 10_000 ** (-1 / 64), r"\(2i \+ 1\) / 64"),
        (lambda p: plain(torch.arange(len(p))), "do not count"),
        (lambda p: plain(p[0] + torch.arange(len(p))), "only the first position"),
        (lambda p: plain(p.clamp(max=1000)), "rotates otherwise than before"),
    ],
)  # fmt: skip
def test_odd_rotations_are_named_with_what_is_odd(angles_at, said):
    found = identify(turning(angles_at), 64)
    assert re.search(said, str(found)), str(found)
    assert found.base == pytest.approx(10_000.0, rel=1e-5) or "width" in said


@pytest.mark.parametrize("origin", [-1, 1, 3, -0.5])
def test_the_position_that_is_not_turned_is_found(origin):
    found = identify(turning(lambda p: plain(p - origin)), 64)
    assert found.origin == pytest.approx(origin)
    with pytest.raises(ValueError, match="rotates nothing at position"):
        found.arguments()


def in_numpy(x, positions):
    assert isinstance(x, np.ndarray)
    angles = positions[:, None] * np.power(10_000.0, -np.arange(0, 64, 2) / 64)
    cos, sin = np.cos(angles), np.sin(angles)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)


def only(dims):
    def function(x, positions):
        assert x.ndim == dims
        return turning(plain)(x, positions)

    return function


def bfloat16_only(x, positions):
    assert x.dtype == torch.bfloat16
    return turning(plain)(x, positions)


@pytest.mark.parametrize(
    "function",
    [
        in_numpy,
        only(2),
        only(3),
        bfloat16_only,
        lambda x: turning(plain)(x, torch.arange(x.shape[-2])),
        lambda x, p: (turning(plain)(x, p), turning(plain)(x, p)),
        lambda x, positions=None: turning(plain)(x, positions),
        lambda x, *, input_pos: turning(plain)(x, input_pos),
        lambda x, seq_dim=-2, offset=0: turning(plain)(x, torch.arange(x.shape[seq_dim]) + offset),
    ],
)
def test_functions_of_many_forms_are_called(function):
    found = identify(function, 64)
    assert (found.pairing, found.base, found.scaling) == ("half", 10_000.0, None)
    assert found.layout == "bhsd"


def test_a_table_that_ends_is_no_hindrance():
    table = plain(torch.arange(300))
    found = identify(turning(lambda p: table[p]), 64)
    assert found.base == 10_000.0
    assert 126 < found.reach < 300


def test_a_second_result_that_differs_is_told():
    rope = RotaryEmbedding(64, pairing="half")
    found = identify(lambda x, p: (called(rope)(x, p), called(rope)(x, 2 * p)), 64)
    assert any("second result" in remark for remark in found.remarks)


def other_pairing(x, positions):
    angles = plain(positions).repeat_interleave(2, -1)
    first, second = x.chunk(2, -1)
    return x * angles.cos() + torch.cat((-second, first), -1) * angles.sin()


def same_sign(x, positions):
    angles = plain(positions)
    first, second = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos + second * sin, second * cos + first * sin), -1)


def mirrored(x, positions):
    angles = plain(positions)
    first, second = x.chunk(2, -1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((first * cos + second * sin, first * sin - second * cos), -1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, p: x, "rotates nothing"),
        (lambda x, p: plain(p).cos().repeat(1, 2).expand_as(x), "do not depend on x"),
        (lambda x, p: x.tanh() * (p + 1)[:, None], "not linear"),
        (lambda x, p: x + torch.randn_like(x), "different results"),
        (lambda x, p: x.cumsum(-2), "depends on others"),
        (lambda x, p: x * (p + 1)[:, None], "turns no pairs"),
        (lambda x, p: x.cumsum(-1) * (p + 1)[:, None], "some get lost|more than two"),
        (lambda x, p: x.cumsum(-1), "same to every row"),
        (lambda x, p: turning(plain)(x, p) * (1.001**p)[:, None], "xPos"),
        (lambda x, p: x * float("nan"), "not finite"),
        (other_pairing, "laid out for the other pairing"),
        (same_sign, "same sign"),
        (mirrored, "mirrors"),
    ],
)
def test_what_is_no_rotation_is_said(function, said):
    with pytest.raises(NoRotationError, match=said) as caught:
        identify(function, 64)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("function", "head_dim", "error", "said"),
    [
        (lambda x, p: 1 / 0, 64, ValueError, "ZeroDivisionError"),
        (lambda x, p: None, 64, ValueError, "missing"),
        (3, 64, TypeError, "callable"),
        (lambda x, p: x, 0, ValueError, "head_dim"),
    ],
)
def test_what_cannot_be_called_is_an_error_of_its_own(function, head_dim, error, said):
    with pytest.raises(error, match=said) as caught:
        identify(function, head_dim)
    assert not isinstance(caught.value, NoRotationError)
    assert len(str(caught.value)) < 300


def test_a_rotation_reads_as_sentences_and_as_parts():
    rope = RotaryEmbedding(64, pairing="half", base=500_000.0, scaling=Llama3(8.0, 8192))
    found = identify(called(rope), 64)
    assert "pairing half: elements (i, i + 32) form a pair" in str(found)
    assert "base 500,000" in str(found)
    assert "Llama3: factor 8, original_length 8,192" in str(found)
    assert found.as_dict()["scaling"] == rope.scaling
