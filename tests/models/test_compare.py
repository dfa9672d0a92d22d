"""Comparing a function with the rotation it is meant to be: one mistake at a time is named."""

import math
import re

import pytest
import torch

from rope_lib import RotaryEmbedding
from rope_lib.axes import axial
from rope_lib.functional import Precision
from rope_lib.models.compare import compare
from rope_lib.models.identify import identify
from rope_lib.scaling import (
    NTK,
    DynamicNTK,
    Linear,
    Llama3,
    LongRoPE,
    Proportional,
    Rescaled,
    YaRN,
)


def called(rope):
    return lambda x, positions: rope(x, None, positions)[0]


def exponents(width):
    return torch.arange(0, width, 2).double() / width


def ladder(width=64, base=10_000.0):
    return base ** -exponents(width)


def rotation(
    frequencies=None,
    pairing="half",
    start=0,
    amplitude=1.0,
    angles=lambda positions, frequencies: positions.double()[:, None] * frequencies,
    tables=lambda angles: (angles.cos(), angles.sin()),
):
    """A rotation written out by hand, each part of which can be mistaken."""
    rates = ladder() if frequencies is None else frequencies
    width = 2 * len(rates)

    def function(x, positions):
        cos, sin = (amplitude * t.to(x.dtype) for t in tables(angles(positions, rates)))
        part = x[..., start : start + width]
        if pairing == "half":
            a, b = part.chunk(2, -1)
            turned = torch.cat((a * cos - b * sin, b * cos + a * sin), -1)
        else:
            a, b = part[..., 0::2], part[..., 1::2]
            turned = torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)
        return torch.cat((x[..., :start], turned, x[..., start + width :]), -1)

    return function


def at(change):
    """A rotation whose positions are changed first."""
    return rotation(angles=lambda p, f: change(p)[:, None] * f)


def yarn(factor=4.0, length=4096, fast=32.0, slow=1.0, truncate=True, base=10_000.0, width=64):
    """YaRN's frequencies, written out by hand."""
    ends = [
        width * math.log(length / (turns * 2 * math.pi)) / (2 * math.log(base))
        for turns in (fast, slow)
    ]
    low, high = (math.floor(ends[0]), math.ceil(ends[1])) if truncate else ends
    low, high = max(low, 0), min(high, width - 1)
    kept = 1 - ((torch.arange(width // 2) - low) / (high - low)).clamp(0, 1).double()
    return ladder(width, base) * (kept + (1 - kept) / factor)


def llama3(factor=8.0, length=8192, low=1.0, high=4.0):
    wave = 2 * math.pi / ladder()
    smooth = (length / wave - low) / (high - low)
    blend = (1 - smooth) * ladder() / factor + smooth * ladder()
    is_long, is_short = wave > length / low, wave < length / high
    scaled = torch.where(is_long, ladder() / factor, ladder())
    return torch.where(~is_long & ~is_short, blend, scaled)


PLAIN = RotaryEmbedding(64, pairing="half")
PARTIAL = RotaryEmbedding(128, pairing="half", rotary_dim=64)
LAST = RotaryEmbedding(128, pairing="interleaved", rotary_dim=64, rotated="last")
YARN = RotaryEmbedding(64, pairing="half", scaling=YaRN(4.0, 4096))
M = YARN.amplitude
LLAMA3 = RotaryEmbedding(64, pairing="half", scaling=Llama3(8.0, 8192))
LINEAR = RotaryEmbedding(64, pairing="half", scaling=Linear(4.0))
NTK8 = RotaryEmbedding(64, pairing="half", scaling=NTK(8.0))


def over_the_whole_head(x, positions):
    """The 64 numbers that turn are taken from both halves of a head, not from its start."""
    taken = torch.cat((x[..., :32], x[..., 64:96]), -1)
    first, second = rotation()(taken, positions).chunk(2, -1)
    return torch.cat((first, x[..., 32:64], second, x[..., 96:]), -1)


def growing():
    """Dynamic NTK that goes on with the frequencies of the longest text so far."""
    seen = [1]

    def angles(positions, frequencies):
        seen.append(int(positions.max()) + 1)
        base = 10_000.0 * max(1.0, max(seen) / 2048)
        return positions[:, None] * ladder(base=base)

    return rotation(angles=angles)


def cast(values, dtype):
    return values.to(dtype).double()


MISTAKES = {
    "wrong pairing": (rotation(pairing="interleaved"), PLAIN, "pairing: yours interleaved"),
    "pairs over the whole head": (over_the_whole_head, PARTIAL,
                                  r"pairing: yours turns numbers \(i, i \+ 64\)"),
    "wrong base": (rotation(ladder(base=500_000.0)), PLAIN, "base: yours 500,000, expected 10,000"),
    "odd base": (rotation(ladder(base=12_345.0)), PLAIN, "base: yours 12,345, expected 10,000"),
    "width": (rotation(ladder(128)[:32]), PARTIAL, r"exponents: yours 2i / 128 \(head_dim\)"),
    "whole head": (rotation(ladder(128)), PARTIAL, "rotary_dim: yours 128, expected 64"),
    "first part": (rotation(pairing="interleaved"), LAST, "rotated: yours the first part"),
    "last part": (rotation(start=64), PARTIAL, "rotated: yours the last part"),
    "sign": (rotation(-ladder()), PLAIN, "direction: yours clockwise"),
    "off by one": (at(lambda p: p + 1), PLAIN, r"origin: .*positions off by 1"),
    "off by minus one": (at(lambda p: p - 1), PLAIN, r"origin: .*positions off by -1"),
    "amplitude missing": (rotation(yarn()), YARN, "amplitude.*missing"),
    "amplitude extra": (rotation(amplitude=1.2), PLAIN, "amplitude.*yours 1.2, expected 1"),
    "amplitude squared": (rotation(yarn(), amplitude=M**2), YARN, "amplitude.*applied twice"),
    "betas swapped": (rotation(yarn(fast=1.0, slow=32.0), amplitude=M), YARN, "swapped"),
    "other beta_fast": (rotation(yarn(fast=64.0), amplitude=M), YARN, "beta_fast: yours 64"),
    "other beta_slow": (rotation(yarn(slow=4.0), amplitude=M), YARN, "beta_slow: yours 4"),
    "truncate": (rotation(yarn(truncate=False), amplitude=M), YARN, "truncate: yours False"),
    "other length": (rotation(yarn(length=16_384), amplitude=M), YARN,
                     "original_length: yours 16,384"),
    "other factor": (rotation(yarn(factor=8.0), amplitude=0.1 * math.log(8) + 1), YARN,
                     "factor: yours 8, expected 4"),
    "factor alone": (rotation(yarn(factor=8.0), amplitude=M), YARN, "factor: yours 8, expected 4"),
    "no scaling": (rotation(), YARN, "scaling: yours none"),
    "frequencies in bfloat16": (rotation(cast(ladder(), torch.bfloat16)), PLAIN,
                                "frequencies: yours rounded to bfloat16"),
    "frequencies in float16": (rotation(cast(ladder(), torch.float16)), PLAIN,
                               "frequencies: yours rounded to float16"),
    "frequencies computed in bfloat16": (
        rotation((1.0 / (10_000.0 ** exponents(64).bfloat16())).double()), PLAIN, "in bfloat16"),
    "positions in bfloat16": (at(lambda p: cast(p, torch.bfloat16)), PLAIN,
                              "rounding: yours positions in bfloat16"),
    "positions in float16": (at(lambda p: cast(p, torch.float16)), PLAIN,
                             "rounding: yours positions in float16"),
    "angles in bfloat16": (rotation(angles=lambda p, f: cast(p[:, None] * f, torch.bfloat16)),
                           PLAIN, "rounding: yours angles in bfloat16"),
    "tables in bfloat16": (rotation(tables=lambda a: (a.cos().bfloat16(), a.sin().bfloat16())),
                           PLAIN, "rounding: yours tables or results in bfloat16"),
    "exponent d - 2": (rotation(10_000 ** (-torch.arange(0, 64, 2).double() / 62)), PLAIN,
                       "exponents: yours 2i / 62"),
    "exponent i / d": (rotation(10_000 ** (-torch.arange(32).double() / 64)), PLAIN,
                       "exponents: yours 2i / 128|base: yours 100"),
    "exponent 2i + 1": (rotation(ladder() * 10_000 ** (-1 / 64)), PLAIN, r"yours \(2i \+ 1\) / 64"),
    "exponent 2(i + 1)": (rotation(ladder() * 10_000 ** (-2 / 64)), PLAIN,
                          r"yours \(2i \+ 2\) / 64"),
    "degrees for radians": (rotation(ladder() * 180 / math.pi), PLAIN, "degrees taken for radians"),
    "radians for degrees": (rotation(ladder() * math.pi / 180), PLAIN, "radians taken for degrees"),
    "turned twice": (rotation(2 * ladder()), PLAIN, "turned twice"),
    "called twice": (lambda x, p: rotation()(rotation()(x, p), p), PLAIN, "turned twice"),
    "cos and sin swapped": (rotation(tables=lambda a: (a.sin(), a.cos())), PLAIN, "swapped"),
    "layout": (lambda x, p: rotation()(x.transpose(1, 2), p).transpose(1, 2), PLAIN,
               "layout: yours bshd, expected bhsd"),
    "rows for positions": (at(lambda p: torch.arange(len(p))), PLAIN, "counts rows from 0"),
    "first position only": (at(lambda p: p[0] + torch.arange(len(p))), PLAIN,
                            "rows from the first position"),
    "last pair forgotten": (rotation(ladder() * (torch.arange(32) < 31)), PLAIN,
                            r"pairs: yours leaves 1 of 32 still, pair 31 \(the last\)"),
    "frequencies reversed": (rotation(ladder().flip(0)), PLAIN, "reversed order"),
    "inverted exponent": (rotation(1 / ladder()), PLAIN, "reciprocals"),
    "linear inverted": (rotation(ladder() * 4), LINEAR, "factor: yours inverted"),
    "linear missing": (rotation(), LINEAR, "scaling: yours none"),
    "linear twice": (rotation(ladder() / 16), LINEAR, "applied twice|factor: yours 16"),
    "linear extra": (rotation(ladder() / 4), PLAIN, "scaling: yours Linear: factor 4"),
    "llama3 swapped": (rotation(llama3(low=4.0, high=1.0)), LLAMA3, "swapped"),
    "llama3 factor": (rotation(llama3(factor=32.0)), LLAMA3, "factor: yours 32, expected 8"),
    "llama3 length": (rotation(llama3(length=4096)), LLAMA3, "original_length: yours 4,096"),
    "llama3 high": (rotation(llama3(high=8.0)), LLAMA3, "high_freq_factor: yours 8"),
    "ntk exponent": (rotation(ladder(base=80_000.0)), NTK8, "NTK exponent: yours 1"),
    "ntk factor": (rotation(ladder(base=10_000 * 4 ** (64 / 62))), NTK8, "factor: yours 4"),
    "ntk missing": (rotation(), NTK8, "scaling: yours none"),
    "unexpected llama3": (rotation(llama3()), PLAIN, "scaling: yours Llama3: factor 8"),
    "unexpected yarn": (rotation(yarn(), amplitude=M), PLAIN, "scaling: yours YaRN: factor 4"),
    "clamped": (at(lambda p: p.clamp(max=2000)), PLAIN, "go no further than about 2,048"),
    "begins again": (at(lambda p: p % 1024), PLAIN, "positions: yours begin again from 0 at 1,024"),
    "later another base": (at(lambda p: p + 0.001 * p * (p > 3000)), PLAIN, "far positions"),
    "integer division": (at(lambda p: p // 2), PLAIN, "2 neighbouring tokens one position"),
    "swapped, clockwise": (rotation(tables=lambda a: (-a.sin(), a.cos())),
                           RotaryEmbedding(64, pairing="half", clockwise=True), "swapped"),
    "sine without sign": (rotation(tables=lambda a: (a.cos(), a.sin().abs())), PLAIN,
                          "do not grow in proportion"),
    "part shifted": (rotation(pairing="interleaved", start=60), LAST,
                     "part: yours turns numbers 60 to 123, expected 64 to 127"),
    "narrower": (rotation(ladder(32), pairing="interleaved", start=96), LAST,
                 "rotary_dim: yours 32, expected 64"),
    "all scaled": (lambda x, p: 1.3 * rotation()(x, p), PARTIAL, "amplitude.*on all numbers"),
    "rest scaled": (lambda x, p: torch.cat((rotation()(x, p)[..., :64], 2 * x[..., 64:]), -1),
                    PARTIAL, "elements that do not rotate: yours multiplied by 2"),
    "output order": (lambda x, p: torch.stack(rotation()(x, p).chunk(2, -1), -1).flatten(-2),
                     PLAIN, "output order: yours interleaved"),
    "from the end": (at(lambda p: len(p) - 1 - p), PLAIN, "length: yours"),
    "order of positions": (at(lambda p: p.flip(0)), PLAIN, "positions of others"),
    "x in bfloat16": (lambda x, p: rotation()(x.bfloat16().double(), p), PLAIN, "rounds x"),
    "a table that grows": (growing(), PLAIN, "state: yours"),
    "two betas": (rotation(yarn(fast=20.0, slow=4.0), amplitude=M), YARN, "scaling: yours YaRN"),
    "yarn as linear": (rotation(ladder() / 4), YARN, "divides every pair"),
    "second result": (lambda x, p: (rotation()(x, p), rotation(-ladder())(x, p)), PLAIN,
                      "second result"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_and_nothing_else(name):
    function, rope, said = MISTAKES[name]
    found = compare(function, rope)
    assert not found
    assert len(found.differences) == 1, str(found)
    assert re.search(said, found.differences[0]), str(found)
    assert "all else agrees" in str(found)
    assert found.largest[0] > 1e-4


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"base": 500_000.0, "clockwise": True},
        {"rotary_dim": 32, "rotated": "last"},
        {"rotary_dim": 20, "layout": "bshd"},
        {"layout": "thd", "scaling": Linear(3.0)},
        {"layout": "sbhd", "scaling": NTK(8.0)},
        {"scaling": YaRN(16.0, 4096, beta_fast=20.0)},
        {"scaling": Llama3(8.0, 8192)},
        {"scaling": Proportional(0.25, 2.0)},
        {"scaling": Rescaled(tuple(1 + k / 3 for k in range(32)), 1.3)},
        {"output_pairing": "half", "rotary_dim": 16},
        {"output_pairing": "interleaved"},
    ],
)
def test_our_own_agrees_with_itself_and_with_what_was_identified(pairing, how):
    rope = RotaryEmbedding(64, pairing=pairing, **how)
    found = compare(called(rope), rope)
    assert found, str(found)
    assert found.largest[0] < 1e-6
    assert str(found).startswith("agrees")
    again = compare(called(rope), identify(called(rope), 64))
    assert again, str(again)


@pytest.mark.parametrize("head_dim", [2, 4, 6, 8, 256])
@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_small_and_large_heads_agree_with_themselves(head_dim, pairing):
    rope = RotaryEmbedding(head_dim, pairing=pairing)
    assert compare(called(rope), rope)
    assert not compare(called(rope), RotaryEmbedding(head_dim, pairing=pairing, clockwise=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_of_the_results_is_no_difference(dtype):
    assert compare(rotation(), PLAIN, dtype=dtype)
    assert not compare(rotation(ladder(base=20_000.0)), PLAIN, dtype=dtype)


def test_float32_angles_are_a_remark_with_their_size():
    coarse = RotaryEmbedding(64, pairing="half", precision=Precision(angles=torch.float32))
    found = compare(called(coarse), PLAIN)
    assert found, str(found)
    assert any("float32" in remark for remark in found.remarks)
    assert 1e-4 < found.largest[0] < 0.02
    assert not compare(called(coarse), coarse).remarks


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x, p: x, "rotates nothing"),
        (lambda x, p: x.tanh() * (p + 1)[:, None], "not linear"),
        (lambda x, p: x + torch.randn_like(x), "different results"),
        (
            lambda x, p: (
                x * (p[:, None] * ladder().repeat_interleave(2)).cos()
                + torch.cat((-x[..., 32:], x[..., :32]), -1)
                * (p[:, None] * ladder().repeat_interleave(2)).sin()
            ),
            "laid out for the other pairing",
        ),
    ],
)
def test_what_is_no_rotation_is_one_difference(function, said):
    found = compare(function, PLAIN)
    assert not found
    assert said in found.differences[0]
    assert said in str(found)
    assert found.found is None


def test_several_differences_are_listed():
    found = compare(rotation(-ladder(base=500_000.0), pairing="interleaved"), PLAIN)
    assert len(found.differences) == 3
    for said in ("pairing", "direction", "base"):
        assert any(said in each for each in found.differences)
        assert said in str(found)


@pytest.mark.parametrize("tokens", [1000, 100_000])
@pytest.mark.parametrize(
    "scaling",
    [
        DynamicNTK(2.0, 4096),
        LongRoPE(tuple(1 + k / 90 for k in range(32)), tuple(1.0 + k for k in range(32)), 4096),
    ],
)
def test_scalings_that_depend_on_a_length_are_compared_at_one(scaling, tokens):
    rope = RotaryEmbedding(64, pairing="half", scaling=scaling)
    with pytest.raises(ValueError, match="for_length"):
        compare(called(rope), rope)
    fixed = rope.for_length(tokens)
    assert compare(called(fixed), fixed)
    other = rope.for_length(100_000 if tokens == 1000 else 1000)
    found = compare(called(other), fixed, longest=900)
    assert len(found.differences) == 1, str(found)


def test_what_cannot_be_compared_with_is_refused():
    rope = RotaryEmbedding(64, pairing="half", axes=axial(64))
    with pytest.raises(ValueError, match="axes"):
        compare(rotation(), rope)
    with pytest.raises(TypeError, match="RotaryEmbedding"):
        compare(rotation(), 3)
