"""Scalings against the code that shipped models run: transformers 5.23, `modeling_rope_utils`."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from rope_lib import RotaryEmbedding, inverse_frequencies, proportional_frequencies, scaling

FLOAT32 = {"dtype": torch.float32}


def theirs(head_dim, base, longest=131_072, tokens=None, **parameters):
    """Inverse frequencies and attention factor as transformers computes them, in float32."""
    config = LlamaConfig(
        hidden_size=head_dim, num_attention_heads=1, max_position_embeddings=longest
    )
    config.rope_parameters = {"rope_theta": base, **parameters}
    return ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, seq_len=tokens)


def assert_same(ours, head_dim, base, expected, rtol=5e-6):
    """Bit for bit in float32, and within float32 of the float64 values."""
    inv_freq, attention_factor = expected
    assert torch.equal(ours.inverse_frequencies(head_dim, base, **FLOAT32), inv_freq)
    exact = ours.inverse_frequencies(head_dim, base)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(exact, inv_freq.double(), rtol=rtol, atol=0)
    assert ours.amplitude == pytest.approx(attention_factor, rel=1e-12)


head_dims = st.integers(2, 64).map(lambda pairs: 2 * pairs)
bases = st.sampled_from([10_000.0, 5e5, 1e6, 5e6, 123.0])
factors = st.floats(1, 64)
lengths = st.sampled_from([64, 1000, 4096, 8192, 32_768])


@given(head_dim=head_dims, base=bases, factor=factors)
def test_linear(head_dim, base, factor):
    expected = theirs(head_dim, base, rope_type="linear", factor=factor)
    assert_same(scaling.Linear(factor), head_dim, base, expected)


@given(head_dim=head_dims, base=bases, factor=factors, length=lengths, more=st.integers(-50, 9999))
def test_dynamic_ntk(head_dim, base, factor, length, more):
    expected = theirs(head_dim, base, longest=length, rope_type="dynamic", factor=factor,
                      tokens=length + more)  # fmt: skip
    ours = scaling.DynamicNTK(factor, length).at_length(length + more)
    assert_same(ours, head_dim, base, expected)


@given(head_dim=head_dims.filter(lambda width: width > 2), base=bases, factor=factors)
def test_ntk_slows_the_slowest_pair_by_the_factor_and_leaves_the_fastest(head_dim, base, factor):
    plain = inverse_frequencies(head_dim, base)
    slowed = scaling.NTK(factor).inverse_frequencies(head_dim, base)
    assert slowed[0] == 1
    assert (plain / slowed)[-1].item() == pytest.approx(factor, rel=1e-9)


@given(
    head_dim=head_dims,
    base=bases,
    factor=factors,
    length=lengths,
    betas=st.tuples(st.floats(0.1, 4), st.floats(4.5, 64)),
    truncate=st.booleans(),
    mscales=st.sampled_from([(None, None), (1.0, 1.0), (0.707, 0.707), (1.0, 0.5), (0.0, 1.0)]),
    attention_factor=st.sampled_from([None, 1.0, 1.3]),
)
def test_yarn(head_dim, base, factor, length, betas, truncate, mscales, attention_factor):
    """`truncate=false`, an explicit attention factor and every other key are honoured.

    Reference: transformers#42189, transformers#47435, mlx-lm#1507.
    """
    given_keys = {
        "beta_slow": betas[0], "beta_fast": betas[1], "truncate": truncate, "mscale": mscales[0],
        "mscale_all_dim": mscales[1], "attention_factor": attention_factor,
    }  # fmt: skip
    expected = theirs(head_dim, base, rope_type="yarn", factor=factor,
                      original_max_position_embeddings=length, **given_keys)  # fmt: skip
    # A ramp between two neighbouring fractions of a pair is steep, and float32 shows there.
    assert_same(scaling.YaRN(factor, length, **given_keys), head_dim, base, expected, rtol=1e-3)


@given(head_dim=head_dims, base=bases, factor=factors, length=lengths,
       bands=st.tuples(st.floats(0.5, 3), st.floats(3.5, 32)))  # fmt: skip
def test_llama3(head_dim, base, factor, length, bands):
    expected = theirs(
        head_dim, base, rope_type="llama3", factor=factor, low_freq_factor=bands[0],
        high_freq_factor=bands[1], original_max_position_embeddings=length,
    )  # fmt: skip
    assert_same(scaling.Llama3(factor, length, *bands), head_dim, base, expected)


@given(
    head_dim=head_dims,
    base=bases,
    length=lengths,
    factor=st.floats(0.5, 64),
    seed=st.integers(0, 99),
    attention_factor=st.sampled_from([None, 1.19]),
)
def test_longrope_on_both_sides_of_the_original_length(
    head_dim, base, length, factor, seed, attention_factor
):
    short, long = np.random.default_rng(seed).uniform(1, 40, (2, head_dim // 2)).tolist()
    ours = scaling.LongRoPE(tuple(short), tuple(long), length, factor, attention_factor)
    for tokens in (1, length, length + 1, 2 * length):
        expected = theirs(
            head_dim, base, rope_type="longrope", short_factor=short, long_factor=long,
            factor=factor, attention_factor=attention_factor, tokens=tokens,
            original_max_position_embeddings=length,
        )  # fmt: skip
        assert_same(ours.at_length(tokens), head_dim, base, expected)


@given(head_dim=head_dims, base=bases, fraction=st.floats(0, 1), factor=factors)
def test_proportional_is_not_partial(head_dim, base, fraction, factor):
    """The ladder is that of the whole head. Reference: zml#660."""
    ours = scaling.Proportional(fraction, factor)
    expected = theirs(
        head_dim, base, rope_type="proportional", partial_rotary_factor=fraction, factor=factor
    )
    assert_same(ours, head_dim, base, expected)
    turning = int(fraction * (head_dim // 2))
    if 0 < turning < head_dim // 2:
        partial = inverse_frequencies(2 * turning, base) / factor
        whole = ours.inverse_frequencies(head_dim, base)
        assert turning == 1 or not torch.allclose(whole[:turning], partial, rtol=1e-3)
        assert not whole[turning:].any()
        assert torch.equal(whole * 1.0, proportional_frequencies(head_dim, fraction, base) / factor)


FIXED = [
    scaling.Linear(4.0),
    scaling.NTK(4.0),
    scaling.YaRN(4.0, 1024),
    scaling.Llama3(4.0, 1024),
    scaling.Proportional(0.5),
    scaling.Rescaled((1.0, 2.0, 3.0, 4.0), 1.1),
]


@pytest.mark.parametrize("ours", FIXED, ids=lambda value: type(value).__name__)
def test_a_factor_of_one_changes_nothing(ours):
    if isinstance(ours, scaling.Proportional):
        nothing = scaling.Proportional(1.0, 1.0)
    elif isinstance(ours, scaling.Rescaled):
        nothing = scaling.Rescaled((1.0,) * 4)
    else:
        nothing = dataclasses.replace(ours, factor=1.0)
    torch.testing.assert_close(nothing.inverse_frequencies(8, 1e4), inverse_frequencies(8, 1e4))
    assert nothing.amplitude == 1


def test_the_amplitude_follows_a_changed_factor():
    assert dataclasses.replace(scaling.YaRN(4.0, 64), factor=8.0) == scaling.YaRN(8.0, 64)
    assert scaling.YaRN(8.0, 64).amplitude == pytest.approx(0.1 * math.log(8) + 1)


@pytest.mark.parametrize("ours", FIXED, ids=lambda value: type(value).__name__)
def test_the_module_uses_frequencies_and_amplitude(ours):
    rope = RotaryEmbedding(8, pairing="half", scaling=ours)
    positions = torch.tensor([0, 3, 5000])
    cos, sin = rope.tables(positions, torch.float64)
    angles = positions.double()[:, None] * ours.inverse_frequencies(8, 10_000.0)
    torch.testing.assert_close(cos, ours.amplitude * angles.cos(), rtol=0, atol=1e-15)
    torch.testing.assert_close(sin, ours.amplitude * angles.sin(), rtol=0, atol=1e-15)


BY_LENGTH = [
    scaling.DynamicNTK(2.0, 16),
    scaling.LongRoPE((1.0,) * 4, (1.0, 2.0, 3.0, 4.0), 16, 4.0),
]


@pytest.mark.parametrize("ours", BY_LENGTH, ids=lambda value: type(value).__name__)
class TestScalingsThatDependOnTheLength:
    """Cached decode equals the full pass; one row cannot change another; no stale keys.

    Reference: transformers#25104, transformers#27227, vllm#3488 (dynamic NTK), transformers#33129,
    vllm#27431 (LongRoPE).
    """

    def heads(self, rows, seed=0):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(2, 3, rows, 8, generator=generator, dtype=torch.float64)

    def test_without_a_length_it_refuses_and_says_what_to_do(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours)
        with pytest.raises(ValueError, match=r"depends on the length.*for_length\(tokens\)"):
            rope(self.heads(4), self.heads(4), torch.arange(4))

    def test_cached_decode_equals_the_full_pass(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours).for_length(40)
        q, k = self.heads(40), self.heads(40, seed=1)
        whole = rope(q, k, torch.arange(40))
        steps = [rope(q[..., m : m + 1, :], k[..., m : m + 1, :], torch.tensor([m]))
                 for m in range(40)]  # fmt: skip
        for one, many in zip(whole, zip(*steps, strict=True), strict=True):
            torch.testing.assert_close(torch.cat(many, dim=-2), one, rtol=0, atol=1e-13)

    def test_one_row_cannot_change_another(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours).for_length(2000)
        q = self.heads(4)
        near, far = torch.arange(4).repeat(2, 1), torch.arange(4).repeat(2, 1)
        far[1] += 1000
        alone, beside = (rope(q, q, rows[:, None, :])[0] for rows in (near, far))
        assert torch.equal(alone[0], beside[0])

    def test_keys_of_the_shorter_text_move_to_the_longer_one(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours)
        short, long = rope.for_length(16), rope.for_length(32)
        k, positions = self.heads(16), torch.arange(16)
        cached, wanted = short(k, k, positions)[1], long(k, k, positions)[1]
        assert not torch.allclose(cached, wanted, atol=1e-3)
        moved = short.rerotate(cached, positions, positions, to=long)
        torch.testing.assert_close(moved, wanted, rtol=0, atol=1e-12)

    def test_the_original_module_is_unchanged(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours)
        rope.for_length(99)
        assert rope.scaling == ours

    def test_it_can_be_asked_again_for_another_length(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours)
        direct, again = rope.for_length(64), rope.for_length(8).for_length(64)
        assert str(direct) == str(again)
        positions = torch.arange(20)
        assert torch.equal(direct.tables(positions)[0], again.tables(positions)[0])

    def test_positions_beyond_the_length_are_refused(self, ours):
        rope = RotaryEmbedding(8, pairing="half", scaling=ours).for_length(20)
        rope.tables(torch.tensor([19]))
        with pytest.raises(ValueError, match="positions must be below 20, since for_length"):
            rope.tables(torch.tensor([0, 20]))

    def test_the_amplitude_waits_for_the_length_too(self, ours):
        with pytest.raises(ValueError, match="depends on the length"):
            _ = RotaryEmbedding(8, pairing="half", scaling=ours).amplitude


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_ramp_of_no_width_is_that_of_transformers(dtype):
    """Kimi-K2 ships `beta_fast = beta_slow = 1`."""
    expected = theirs(64, 50_000.0, rope_type="yarn", factor=32.0, beta_fast=1.0, beta_slow=1.0,
                      original_max_position_embeddings=4096)  # fmt: skip
    ours = scaling.YaRN(32.0, 4096, beta_fast=1.0, beta_slow=1.0)
    torch.testing.assert_close(
        ours.inverse_frequencies(64, 50_000.0, dtype=dtype),
        expected[0].to(dtype),
        rtol=1e-5,
        atol=0,
    )


def test_up_to_the_original_length_dynamic_ntk_is_plain():
    plain = inverse_frequencies(8)
    dynamic = scaling.DynamicNTK(8.0, 100)
    assert torch.equal(dynamic.at_length(100).inverse_frequencies(8, 1e4), plain)
    assert not torch.equal(dynamic.at_length(101).inverse_frequencies(8, 1e4), plain)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scaling.Linear(0.5), "factor must be at least 1, got 0.5"),
        (lambda: scaling.Linear(float("nan")), "factor must be finite"),
        (lambda: scaling.Linear(True), "factor must be a real number"),
        (lambda: scaling.NTK("8"), "factor must be a real number, got '8'"),
        (lambda: scaling.DynamicNTK(2.0, 0), "original_length must be at least 1, got 0"),
        (lambda: scaling.DynamicNTK(2.0, 8).at_length(0), "tokens must be at least 1"),
        (lambda: scaling.YaRN(2.0, 8.5), "original_length must be an integer"),
        (lambda: scaling.YaRN(2.0, 8, beta_fast=1, beta_slow=2), "beta_fast must be at least"),
        (lambda: scaling.YaRN(2.0, 8, attention_factor=0.0), "attention_factor must be finite"),
        (lambda: scaling.YaRN(2.0, 8, truncate=1), "truncate must be bool, got 1"),
        (lambda: scaling.YaRN(2.0, 8, mscale=-1.0), "mscale"),
        (lambda: scaling.Llama3(2.0, 8, 4.0, 3.9), "high_freq_factor must be at least low_freq"),
        (lambda: scaling.Proportional(1.5), "fraction must lie between 0 and 1, got 1.5"),
        (lambda: scaling.Rescaled((1.0, 0.0)), "factors must be finite and greater than 0"),
        (lambda: scaling.LongRoPE((1.0,), (1.0, 2.0), 64), "short_factor and long_factor"),
        (lambda: scaling.LongRoPE((1.0,), (-1.0,), 64), "long_factor must be finite and greater"),
        (lambda: scaling.LongRoPE((1.0,), (1.0,), 1), "original_length must be at least 2, got 1"),
        (lambda: scaling.LongRoPE((1.0,), (1.0,), 8, attention_factor=-1.0), "attention_factor"),
        (lambda: scaling.YaRN(2.0, 8, mscale=float("nan")), "mscale must be finite"),
        (lambda: scaling.YaRN(2.0, 8, mscale_all_dim=float("inf")), "mscale_all_dim must be fin"),
        (lambda: scaling.YaRN(2.0, 8, mscale=False), "mscale must be a real number, got False"),
        (lambda: scaling.YaRN(2.0, 8, beta_fast=1e308), r"2 pi beta_fast\) must be finite"),
        (lambda: scaling.YaRN(2.0, 8, beta_slow=5e-324), r"2 pi beta_slow\) must be finite"),
        (lambda: scaling.YaRN(2.0, 8, beta_slow=0.0), "beta_slow must be finite and greater"),
        (lambda: scaling.YaRN(2.0, 10**30), "original_length must be at most"),
        (lambda: scaling.NTK(1e200).inverse_frequencies(4, 1e4), "factor = 1e.200 leads to must"),
        (lambda: scaling.NTK(2.0).inverse_frequencies(2, 1e4), "rotary_dim of at least 4, got 2"),
        (lambda: scaling.Llama3(2.0, 8, 0.0), "low_freq_factor must be finite and greater"),
        (lambda: scaling.Proportional(0.5, 0.5), "factor must be at least 1, got 0.5"),
        (lambda: scaling.Rescaled(2.0), "factors must be tuple or list, got 2.0"),
        (lambda: scaling.Rescaled((1.0,), 0.0), "amplitude must be finite and greater"),
        (lambda: scaling.LongRoPE(1.0, (1.0,), 64), "short_factor must be tuple or list, got 1.0"),
        (lambda: scaling.LongRoPE((0.0,), (1.0,), 64), "short_factor must be finite and greater"),
        (lambda: scaling.LongRoPE((1.0,), (1.0,), 64, 0.0), "factor must be finite and greater"),
        (lambda: scaling.LongRoPE((1.0,), (1.0,), 64).at_length(1.5), "tokens must be an integer"),
        (lambda: RotaryEmbedding(8, pairing="half", scaling=scaling.Rescaled((1.0,))),
         "factors must hold 4 numbers, got 1"),
        (lambda: RotaryEmbedding(2, pairing="half", scaling=scaling.NTK(2.0)), "rotary_dim of at"),
        (lambda: RotaryEmbedding(8, pairing="half", base=1.0, scaling=scaling.YaRN(2.0, 8)),
         "base must be greater than 1"),
        (lambda: RotaryEmbedding(8, pairing="half", scaling=4.0), "scaling must be"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_named(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_the_defaults_are_those_of_the_papers_and_releases():
    """YaRN: arXiv 2309.00071, section 3.2 (alpha 1, beta 32); Llama 3.1: bands at 1 and 4."""
    assert scaling.YaRN(8.0, 64) == scaling.YaRN(
        8.0, 64, beta_fast=32.0, beta_slow=1.0, attention_factor=None, mscale=None,
        mscale_all_dim=None, truncate=True,
    )  # fmt: skip
    assert scaling.Llama3(8.0, 64) == scaling.Llama3(8.0, 64, 1.0, 4.0)
    assert scaling.Proportional(0.5) == scaling.Proportional(0.5, 1.0)
    assert scaling.LongRoPE((1.0,), (2.0,), 64) == scaling.LongRoPE((1.0,), (2.0,), 64, 1.0, None)
    assert scaling.Rescaled((2.0,)).amplitude == 1


@pytest.mark.parametrize("factor", [1.0, 1.5, 2.0, 40.0])
def test_the_amplitude_of_yarn(factor):
    """One tenth of the logarithm, plus 1; a ratio of two where DeepSeek's keys are both given."""
    tenth = 0.1 * math.log(factor)
    assert scaling.YaRN(factor, 64).amplitude == pytest.approx(1 + tenth, rel=1e-15)
    assert scaling.YaRN(factor, 64, mscale=0.5).amplitude == pytest.approx(1 + tenth)
    assert scaling.YaRN(factor, 64, mscale_all_dim=0.5).amplitude == pytest.approx(1 + tenth)
    both = scaling.YaRN(factor, 64, mscale=0.5, mscale_all_dim=0.25).amplitude
    assert both == pytest.approx((1 + 0.5 * tenth) / (1 + 0.25 * tenth))
    assert scaling.YaRN(factor, 64, attention_factor=0.7, mscale=0.5).amplitude == 0.7
