"""Turning vectors, held to the float64 specification and to the identities it must obey."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rope_lib import (
    Precision,
    inverse_frequencies,
    rotate,
    rotate_,
    rotation_tables,
    to_half,
    to_interleaved,
)
from rope_lib.checks import seen_any
from rope_lib.course import reference

pairings = st.sampled_from(["interleaved", "half"])
widths = st.integers(1, 12).map(lambda pairs: 2 * pairs)
seeds = st.integers(0, 2**31 - 1)
bases = st.sampled_from([2.0, 10_000.0, 500_000.0])
lengths = st.integers(1, 9)

# The largest relative rounding error of one operation.
UNIT = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}


def random(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def some_positions(length, seed, highest=100_000):
    return torch.randint(0, highest, (length,), generator=torch.Generator().manual_seed(seed))


def tables(positions, width, base=10_000.0, dtype=torch.float64):
    return rotation_tables(positions, inverse_frequencies(width, base), dtype)


@given(width=widths, base=bases, length=lengths, pairing=pairings, seed=seeds)
def test_float64_agrees_with_the_specification(width, base, length, pairing, seed):
    x, positions = random(2, length, width, seed=seed), some_positions(length, seed)
    turned = rotate(x, *tables(positions, width, base), pairing=pairing)
    expected = reference.rotate(x.numpy(), positions.numpy(), base, pairing=pairing)
    # an angle near 1e5 carries a rounding error of about 1e5 * 2**-53 in either computation
    np.testing.assert_allclose(turned.numpy(), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@given(width=widths, pairing=pairings, seed=seeds)
def test_agrees_with_the_specification_to_one_rounding(dtype, width, pairing, seed):
    """Also far out: positions reach one million (modalities#462, sglang-jax#1472)."""
    x = random(5, width, seed=seed, dtype=dtype)
    positions = torch.cat((some_positions(3, seed, 1_000_000), torch.tensor([4096, 1_000_000])))
    turned = rotate(x, *tables(positions, width, dtype=torch.float32), pairing=pairing)
    exact = reference.rotate(x.double().numpy(), positions.numpy(), pairing=pairing)
    first, second = (part.double() for part in pair_views(x, pairing))
    length = torch.hypot(first, second)
    # Three float32 roundings (table, product, sum) of numbers no longer than the pair, then one
    # rounding of the result to dtype; below the smallest normal number the spacing is constant.
    allowed = 3 * UNIT[torch.float32] * join(length, length, pairing) + UNIT[dtype] * (
        torch.from_numpy(exact).abs() * 1.01 + torch.finfo(dtype).smallest_normal
    )
    assert turned.dtype == dtype
    assert ((turned.double() - torch.from_numpy(exact)).abs() <= allowed).all()


def pair_views(x, pairing):
    return (to_half(x) if pairing == "interleaved" else x).chunk(2, dim=-1)


def join(first, second, pairing):
    joined = torch.cat((first, second), dim=-1)
    return to_interleaved(joined) if pairing == "interleaved" else joined


@given(width=widths, length=lengths, pairing=pairings, seed=seeds)
def test_lengths_stay(width, length, pairing, seed):
    x = random(length, width, seed=seed)
    turned = rotate(x, *tables(some_positions(length, seed), width), pairing=pairing)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))


@given(width=widths, pairing=pairings, seed=seeds, shift=st.integers(-5_000, 5_000))
def test_scores_see_relative_positions_only(width, pairing, seed, shift):
    q, k = random(2, 6, width, seed=seed)
    positions = some_positions(6, seed, 5_000) + 5_000

    def scores(where):
        cos, sin = tables(where, width)
        return rotate(q, cos, sin, pairing=pairing) @ rotate(k, cos, sin, pairing=pairing).T

    torch.testing.assert_close(scores(positions), scores(positions + shift), rtol=0, atol=1e-9)


@given(width=widths, pairing=pairings, seed=seeds, m=st.integers(0, 9999), n=st.integers(0, 9999))
def test_turning_by_m_then_by_n_is_turning_by_their_sum(width, pairing, seed, m, n):
    x = random(width, seed=seed)

    def turn(vector, position):
        return rotate(vector, *tables(torch.tensor(position), width), pairing=pairing)

    torch.testing.assert_close(turn(turn(x, m), n), turn(x, m + n), rtol=0, atol=1e-9)


@given(width=widths, length=lengths, pairing=pairings, seed=seeds)
def test_inverse_undoes(width, length, pairing, seed):
    x = random(length, width, seed=seed)
    cos, sin = tables(some_positions(length, seed), width)
    back = rotate(rotate(x, cos, sin, pairing=pairing), cos, sin, pairing=pairing, inverse=True)
    torch.testing.assert_close(back, x)
    negative = rotate(x, cos, -sin, pairing=pairing)
    torch.testing.assert_close(rotate(x, cos, sin, pairing=pairing, inverse=True), negative)


@given(width=widths, length=lengths, seed=seeds)
def test_the_pairings_are_one_rotation_in_two_orders(width, length, seed):
    x = random(length, width, seed=seed)
    cos, sin = tables(some_positions(length, seed), width)
    interleaved = rotate(x, cos, sin, pairing="interleaved")
    # A processor may fuse a product with a sum in one of them: one rounding apart.
    torch.testing.assert_close(
        to_half(interleaved), rotate(to_half(x), cos, sin, pairing="half"), rtol=0, atol=2e-15
    )


def test_position_one_turns_counter_clockwise():
    one, width = torch.tensor(1), 2
    turned = rotate(torch.tensor([1.0, 0.0]).double(), *tables(one, width), pairing="half")
    torch.testing.assert_close(turned, torch.tensor([math.cos(1), math.sin(1)]).double())


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("dtype", list(UNIT))
@given(width=widths, length=lengths, pairing=pairings, seed=seeds)
def test_in_place_gives_the_same_and_returns_its_argument(
    dtype, inverse, width, length, pairing, seed
):
    x = random(2, length, width, seed=seed, dtype=dtype)
    cos, sin = tables(some_positions(length, seed), width, dtype=torch.float32)
    expected = rotate(x, cos, sin, pairing=pairing, inverse=inverse)
    result = rotate_(x, cos, sin, pairing=pairing, inverse=inverse)
    assert result is x
    # a complex product may fuse a multiplication with an addition: one float32 rounding apart
    torch.testing.assert_close(x, expected, rtol=2 * UNIT[dtype], atol=1e-6)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("stored", [11, 12])
def test_in_place_on_strided_views_touches_nothing_else(pairing, start, stored):
    """Views that are and that are not viewable as complex numbers (Liger#342)."""
    store = random(3, 4, stored, seed=1, dtype=torch.float32)
    before = store.clone()
    view = store[:, :, start : start + 8]
    cos, sin = tables(torch.arange(4), 8, dtype=torch.float32)
    expected = rotate(view, cos, sin, pairing=pairing)
    rotate_(view, cos, sin, pairing=pairing)
    torch.testing.assert_close(view, expected)
    before[:, :, start : start + 8] = expected
    torch.testing.assert_close(store, before)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("spread", [lambda x: x[:5, ::2], lambda x: x[:8, :5].T])
def test_in_place_on_a_head_that_is_spread_out(pairing, spread):
    """The two numbers of a pair lie apart in memory: no complex view of them exists."""
    x = spread(random(8, 16, seed=1))
    cos, sin = tables(torch.arange(5), 8)
    expected = rotate(x, cos, sin, pairing=pairing)
    torch.testing.assert_close(rotate_(x, cos, sin, pairing=pairing), expected)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_out_of_place_leaves_its_arguments_alone(pairing):
    """unsloth#5001: a kernel that overwrote its input."""
    x = random(4, 8, seed=2)
    cos, sin = tables(torch.arange(4), 8)
    copies = x.clone(), cos.clone(), sin.clone()
    rotate(x, cos, sin, pairing=pairing)
    for original, copy in zip((x, cos, sin), copies, strict=True):
        assert torch.equal(original, copy)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize("turn", [rotate, lambda x, *a, **k: rotate_(x.clone(), *a, **k)])
def test_gradients(pairing, turn):
    cos, sin = tables(torch.tensor([0, 3, 500]), 6)
    x = random(2, 3, 6, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: turn(x, cos, sin, pairing=pairing), x)
    assert torch.autograd.gradgradcheck(lambda x: turn(x, cos, sin, pairing=pairing), x)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_in_place_on_a_leaf_is_refused_and_changes_nothing(pairing):
    leaf = random(3, 4, seed=4).requires_grad_()
    before = leaf.detach().clone()
    with pytest.raises(RuntimeError, match="leaf"):
        rotate_(leaf, *tables(torch.arange(3), 4), pairing=pairing)
    assert torch.equal(leaf, before)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_in_place_on_rows_that_share_memory_is_refused_and_changes_nothing(pairing):
    row = random(1, 4, seed=4)
    before = row.clone()
    with pytest.raises(RuntimeError, match="single memory location"):
        rotate_(row.expand(3, 4), *tables(torch.arange(3), 4), pairing=pairing)
    assert torch.equal(row, before)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_in_place_is_one_graph_under_compile(pairing):
    x = random(3, 8, seed=10)
    cos, sin = tables(torch.arange(3), 8)
    expected = rotate(x, cos, sin, pairing=pairing)
    torch.compile(rotate_, fullgraph=True, backend="aot_eager")(x, cos, sin, pairing=pairing)
    torch.testing.assert_close(x, expected)


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
@pytest.mark.parametrize(
    ("shape", "table_shape"),
    [
        ((8,), ()), ((5, 8), ()), ((5, 8), (5,)), ((2, 3, 5, 8), (5,)), ((2, 3, 5, 8), ()),
        ((2, 3, 5, 8), (2, 1, 5)), ((2, 3, 5, 8), (1, 3, 5)), ((2, 3, 5, 8), (2, 3, 5)),
        ((2, 3, 1, 8), (1,)), ((0, 3, 5, 8), (5,)), ((2, 3, 0, 8), (0,)), ((1, 1, 1, 2), (1,)),
    ],
)  # fmt: skip
def test_shapes_that_fit(pairing, shape, table_shape):
    x = random(*shape, seed=5)
    positions = some_positions(math.prod(table_shape), 5).reshape(table_shape)
    turned = rotate(x, *tables(positions, shape[-1]), pairing=pairing)
    assert turned.shape == x.shape
    where = positions.expand(shape[:-1]).reshape(-1)
    rows = reference.rotate(x.reshape(-1, shape[-1]).numpy(), where.numpy(), pairing=pairing)
    np.testing.assert_allclose(turned.reshape(-1, shape[-1]).numpy(), rows, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "table_shape", [(3, 5), (1,), (4,), (2, 1, 1), (2, 2, 5), (1, 2, 3, 5), (2, 0, 5)]
)
def test_shapes_that_do_not_fit_are_refused(table_shape):
    x = random(2, 3, 5, 8, seed=6)
    positions = torch.zeros(table_shape, dtype=torch.int64)
    for turn in (rotate, rotate_):
        before = x.clone()
        with pytest.raises(ValueError, match=r"cos and sin of shape .* do not fit x of shape"):
            turn(x, *tables(positions, 8), pairing="half")
        assert torch.equal(x, before)


def test_three_dimensions_of_a_table_are_batch_seq_and_pairs():
    """Also where batch, heads and length are equal: it is a rule, not a guess."""
    x, positions = random(3, 3, 3, 8, seed=6), torch.arange(9).reshape(3, 3)
    of_batch, of_rows = tables(positions, 8), tables(positions[:, None], 8)
    assert torch.equal(rotate(x, *of_batch, pairing="half"), rotate(x, *of_rows, pairing="half"))


@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_a_transposed_view_is_read_right(pairing):
    x = random(2, 5, 3, 8, seed=7).transpose(1, 2)
    cos, sin = tables(torch.arange(5), 8)
    assert torch.equal(
        rotate(x, cos, sin, pairing=pairing), rotate(x.contiguous(), cos, sin, pairing=pairing)
    )


def test_tables_are_exact_far_out():
    """float64 angles, one cast: no error grows with the position."""
    positions = torch.tensor([0, 1, 4_095, 131_072, 1_000_000, 2**24 + 1])
    inv_freq = inverse_frequencies(128)
    exact = np.outer(positions.numpy(), inv_freq.numpy())
    for dtype, unit in UNIT.items():
        cos, sin = rotation_tables(positions, inv_freq, dtype)
        assert cos.dtype == sin.dtype == dtype
        for table, values in ((cos, np.cos(exact)), (sin, np.sin(exact))):
            error = np.abs(table.double().numpy() - values)
            smallest = torch.finfo(dtype).smallest_normal
            assert (error <= unit * (np.abs(values) + smallest) * 1.01 + 2.0**-52).all()


def test_tables_are_float32_unless_another_dtype_is_asked_for():
    cos, sin = rotation_tables(torch.arange(3), inverse_frequencies(8))
    assert cos.dtype == sin.dtype == torch.float32


def test_numbers_off_the_cpu_are_not_looked_at():
    """Looking would make the host wait for the device."""
    assert not seen_any(torch.ones(2, device="meta"), lambda numbers: pytest.fail("looked"))


def test_fractional_and_negative_positions_are_angles_like_any_other():
    cos, sin = tables(torch.tensor([-2.5, 2.5]), 4)
    assert torch.equal(cos[0], cos[1])
    assert torch.equal(sin[0], -sin[1])


def test_autocast_changes_nothing():
    """diffusers#13922."""
    x = random(4, 8, seed=8, dtype=torch.bfloat16)
    cos, sin = tables(torch.arange(4), 8, dtype=torch.float32)
    outside = rotate(x, cos, sin, pairing="half")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = rotate(x, *tables(torch.arange(4), 8, dtype=torch.float32), pairing="half")
    assert torch.equal(inside, outside)


@settings(max_examples=20)
@given(seed=seeds, pairing=pairings)
def test_tables_wider_than_x_are_used_and_x_keeps_its_dtype(seed, pairing):
    x = random(3, 8, seed=seed, dtype=torch.float32)
    cos, sin = tables(some_positions(3, seed), 8)
    turned = rotate(x, cos, sin, pairing=pairing)
    assert turned.dtype == torch.float32
    assert torch.equal(turned, rotate(x.double(), cos, sin, pairing=pairing).float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("turn", [rotate, rotate_])
@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_16_bit_tables_are_still_applied_in_float32(turn, pairing, dtype):
    x = random(5, 8, seed=9, dtype=dtype)
    cos, sin = tables(torch.arange(5) * 900, 8, dtype=dtype)
    expected = rotate(x.float(), cos.float(), sin.float(), pairing=pairing).to(dtype)
    assert torch.equal(turn(x, cos, sin, pairing=pairing), expected)


BAD_CALLS = {
    "x is a list": (dict(x=[1.0, 2.0]), TypeError, r"x must be a torch.Tensor, got list"),
    "x holds integers": (dict(x=torch.ones(3, 4, dtype=torch.int64)), TypeError, r"x must .*int64"),
    "x is complex": (dict(x=torch.ones(3, 4) + 0j), TypeError, r"x must have .*complex64"),
    "x is sparse": (dict(x=torch.eye(3, 4).to_sparse()), TypeError, r"x must be a dense tensor"),
    "x is a number": (dict(x=torch.tensor(1.0)), ValueError, r"x must have at least 1 dimension"),
    "x is odd": (dict(x=torch.ones(3, 5)), ValueError, r"one number for each pair, 5 / 2"),
    "x is too wide": (dict(x=torch.ones(3, 8)), ValueError, r"one number for each pair, 8 / 2"),
    "full-width table": (dict(cos=torch.ones(3, 4), sin=torch.ones(3, 4)), ValueError, r"4 / 2"),
    "tables differ": (dict(sin=torch.ones(2, 2)), ValueError, r"cos and sin must have the same"),
    "dtypes differ": (dict(sin=torch.ones(3, 2).double()), ValueError, r"same shape and dtype"),
    "sin is a list": (dict(sin=[1.0]), TypeError, r"sin must be a torch.Tensor, got list"),
    "sin elsewhere": (dict(sin=torch.ones(3, 2, device="meta")), ValueError, r"sin is on meta"),
    "table of integers": (dict(cos=torch.ones(3, 2).long()), TypeError, r"cos must have .*int64"),
    "unknown pairing": (
        dict(pairing="neox"), ValueError, r"pairing must be 'interleaved' or 'half', got 'neox'"
    ),
    "no pairing": (dict(pairing=None), ValueError, r"pairing must be .* got None"),
    "another device": (dict(x=torch.ones(3, 4, device="meta")), ValueError, r"cos is on cpu but x"),
}  # fmt: skip


@pytest.mark.parametrize("turn", [rotate, rotate_])
@pytest.mark.parametrize(("changed", "error", "message"), BAD_CALLS.values(), ids=BAD_CALLS)
def test_bad_input_is_named(turn, changed, error, message):
    call = dict(x=torch.ones(3, 4), cos=torch.ones(3, 2), sin=torch.ones(3, 2), pairing="half")
    call |= changed
    with pytest.raises(error, match=message):
        turn(call.pop("x"), call.pop("cos"), call.pop("sin"), **call)


NAN = float("nan")
BAD_TABLES = {
    "a list": (dict(positions=[0, 1]), TypeError, r"positions must be a torch.Tensor, got list"),
    "bools": (dict(positions=torch.tensor([True])), TypeError, r"positions must be .*torch.bool"),
    "complex": (dict(positions=torch.tensor([1j])), TypeError, r"positions must be .*complex64"),
    "bf16": (dict(positions=torch.ones(2).bfloat16()), TypeError, r"positions must .*bfloat16"),
    "float8": (dict(positions=torch.ones(2).to(torch.float8_e5m2)), TypeError, r"got .*float8"),
    "sparse": (dict(positions=torch.ones(2).to_sparse()), TypeError, r"positions must be a dense"),
    "half": (dict(positions=torch.ones(2).half()), TypeError, r"positions must be .*float16"),
    "nan": (dict(positions=torch.tensor([0.0, NAN])), ValueError, r"positions must be .*nan"),
    "inf": (dict(positions=torch.tensor([float("inf")])), ValueError, r"positions must .*inf"),
    "inv_freq nan": (dict(inv_freq=torch.tensor([NAN])), ValueError, r"inv_freq must .*nan"),
    "inv_freq bf16": (dict(inv_freq=torch.ones(2).bfloat16()), TypeError, r"inv_freq .*bfloat16"),
    "inv_freq 2-d": (dict(inv_freq=torch.ones(2, 2)), ValueError, r"inv_freq must have one dim"),
    "inv_freq ints": (dict(inv_freq=torch.ones(2).long()), TypeError, r"inv_freq must .*int64"),
    "dtype int": (dict(dtype=torch.int32), TypeError, r"dtype must be .*torch.int32"),
    "devices": (dict(positions=torch.ones(2, device="meta")), ValueError, r"inv_freq is on cpu"),
    "angles": (dict(angles=torch.bfloat16), TypeError, r"angles must be .*bfloat16"),
    "amplitude": (dict(amplitude=0.0), ValueError, r"amplitude must be .* greater than 0, got 0"),
    "axis list": (dict(axis=[0, 0]), TypeError, r"axis must be a torch.Tensor, got list"),
    "axis floats": (dict(axis=torch.zeros(2)), TypeError, r"axis must hold int.*got torch.float32"),
    "axis short": (dict(axis=torch.tensor([0])), ValueError, r"axis must hold one number for each"),
    "axis beyond": (dict(axis=torch.tensor([0, 3])), ValueError, r"axis must lie in 0..2"),
    "axis negative": (dict(axis=torch.tensor([0, -1])), ValueError, r"axis must lie in 0..2"),
    "no axes": (
        dict(axis=torch.tensor([0, 0]), positions=torch.tensor(3)),
        ValueError,
        r"the axes first",
    ),
}


@pytest.mark.parametrize(("changed", "error", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_table_input_is_named(changed, error, message):
    call = dict(positions=torch.arange(3), inv_freq=torch.ones(2)) | changed
    with pytest.raises(error, match=message):
        rotation_tables(**call)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(angles=torch.bfloat16), "angles must be float32 or float64, got torch.bfloat16"),
        (dict(angles="float64"), "angles must be float32 or float64, got 'float64'"),
        (dict(wide_tables=1), "wide_tables must be bool, got 1"),
        (dict(wide_arithmetic=None), "wide_arithmetic must be bool, got None"),
    ],
)
def test_a_bad_precision_is_named(settings, message):
    with pytest.raises(TypeError, match=message):
        Precision(**settings)


@pytest.mark.parametrize("amplitude", [0.5, 1.0, 1.5])
def test_the_amplitude_multiplies_both_tables(amplitude):
    positions, inv_freq = torch.arange(3), inverse_frequencies(8)
    plain = rotation_tables(positions, inv_freq, torch.float64)
    grown = rotation_tables(positions, inv_freq, torch.float64, amplitude=amplitude)
    for one, other in zip(plain, grown, strict=True):
        assert torch.equal(amplitude * one, other)
