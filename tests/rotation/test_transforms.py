"""Forward derivatives, vmap and their compositions through every public way to turn.

A fast way that works on memory must see that one of its arguments is more than memory. Sizes lie
on both sides of each limit at which the library takes another way, and every argument is tried:
queries, keys, tables and positions. What they are compared with is the formula in plain operations.
"""

import pytest
import torch
from torch.func import grad, jacfwd, jacrev, jvp, vmap

from rope_lib import RotaryEmbedding, rotate, rotation_tables
from rope_lib.eager import blocks, passes
from rope_lib.kernels import rotate_qk

WIDTH = 8
FEW, BLOCK = 2**7, 2**10  # smaller than the library's: the ways are the same
HEADS = {"few": 2, "over FEW": 2 * FEW // WIDTH // 5 + 1, "over BLOCK": 2 * BLOCK // WIDTH // 5 + 1}
SEQ = 5
PAIRINGS = ("interleaved", "half")
DTYPES = (torch.float32, torch.float64)
ARGUMENTS = {"q": 0, "k": 1, "cos": 2, "sin": 3}


@pytest.fixture(autouse=True)
def small_limits(monkeypatch):
    monkeypatch.setattr(passes, "FEW", FEW)
    monkeypatch.setattr(blocks, "BLOCK", BLOCK)


def formula(x, cos, sin, pairing):
    """``(a cos - b sin, a sin + b cos)`` by indices."""
    pairs = x.shape[-1] // 2
    first = torch.arange(pairs) * (2 if pairing == "interleaved" else 1)
    second = first + (1 if pairing == "interleaved" else pairs)
    a, b = x[..., first], x[..., second]
    place = torch.cat((first, second)).argsort()
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)[..., place]


def both(q, k, cos, sin, pairing):
    return formula(q, cos, sin, pairing), formula(k, cos, sin, pairing)


def rope_of(pairing):
    return RotaryEmbedding(WIDTH, pairing=pairing, base=100.0)


WAYS = {
    "rotate": lambda pairing: lambda q, k, cos, sin: (
        rotate(q, cos, sin, pairing=pairing), rotate(k, cos, sin, pairing=pairing)
    ),
    "rotate_qk": lambda pairing: lambda q, k, cos, sin: rotate_qk(q, k, cos, sin, pairing=pairing),
    "module.rotate": lambda pairing: rope_of(pairing).rotate,
}  # fmt: skip


def random(*shape, dtype, seed):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def given(size, dtype):
    """``q, k, cos, sin``; the tables need not be those of an angle for the formula to hold."""
    heads = HEADS[size]
    shapes = [(heads, SEQ, WIDTH), (2, SEQ, WIDTH), (SEQ, WIDTH // 2), (SEQ, WIDTH // 2)]
    return [random(*shape, dtype=dtype, seed=seed) for seed, shape in enumerate(shapes)]


def same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def at(function, values, place):
    """``function`` of one of its arguments, the others fixed."""
    return lambda x: function(*values[:place], x, *values[place + 1 :])


every = [
    pytest.mark.parametrize("argument", ARGUMENTS),
    pytest.mark.parametrize("pairing", PAIRINGS),
    pytest.mark.parametrize("way", WAYS),
]


def cases(test):
    for mark in every:
        test = mark(test)
    return test


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", HEADS)
@cases
def test_a_forward_derivative_by_each_argument(way, pairing, argument, size, dtype):
    values, place = given(size, dtype), ARGUMENTS[argument]
    direction = random(*values[place].shape, dtype=dtype, seed=9)
    results = [
        jvp(at(turn, values, place), (values[place],), (direction,))
        for turn in (WAYS[way](pairing), lambda *each: both(*each, pairing))
    ]
    for ours, theirs in zip(*results, strict=True):
        same(ours, theirs)


@pytest.mark.parametrize("size", HEADS)
@cases
def test_a_dual_tensor_in_each_place(way, pairing, argument, size):
    """Forward derivatives without ``torch.func``, whose tensors look plain."""
    values, place = given(size, torch.float32), ARGUMENTS[argument]
    direction = random(*values[place].shape, dtype=torch.float32, seed=9)
    forward = torch.autograd.forward_ad
    with forward.dual_level():
        dual = forward.make_dual(values[place], direction)
        changed = at(WAYS[way](pairing), values, place)(dual)
        ours = [forward.unpack_dual(each).tangent for each in changed]
    theirs = jvp(
        at(lambda *each: both(*each, pairing), values, place), (values[place],), (direction,)
    )[1]
    zero = [torch.zeros_like(each) for each in theirs]
    same([z if o is None else o for o, z in zip(ours, zero, strict=True)], theirs)


@pytest.mark.parametrize("size", HEADS)
@cases
def test_vmap_over_one_argument_with_the_others_shared(way, pairing, argument, size):
    values, place = given(size, torch.float32), ARGUMENTS[argument]
    many = torch.stack((values[place], 2 * values[place], -values[place]))
    ours = vmap(at(WAYS[way](pairing), values, place))(many)
    for number, one in enumerate(many):
        same(
            [each[number] for each in ours],
            both(*values[:place], one, *values[place + 1 :], pairing),
        )


@cases
def test_whole_jacobians_agree_forwards_and_backwards(way, pairing, argument):
    values, place = given("few", torch.float64), ARGUMENTS[argument]
    turn = at(WAYS[way](pairing), values, place)
    theirs = jacrev(at(lambda *each: both(*each, pairing), values, place))(values[place])
    same(jacfwd(turn)(values[place]), theirs)
    same(jacrev(turn)(values[place]), theirs)


@cases
def test_compositions(way, pairing, argument):
    """A Hessian forwards over backwards, vmap of a derivative, a derivative of vmap."""
    values, place = given("few", torch.float64), ARGUMENTS[argument]
    x = values[place]
    many = torch.stack((x, 2 * x))
    direction = random(*x.shape, dtype=x.dtype, seed=9)
    found = []
    for function in (WAYS[way](pairing), lambda *each: both(*each, pairing)):
        turn = at(function, values, place)

        def cube(x, turn=turn):
            return sum((each**3).sum() for each in turn(x))

        found.append((
            jacfwd(grad(cube))(x),
            vmap(grad(cube))(many),
            *vmap(lambda one, turn=turn: jvp(turn, (one,), (direction,))[1])(many),
            *jvp(vmap(turn), (many,), (torch.stack((direction, direction)),))[1],
        ))  # fmt: skip
    same(*found)


# Positions, through the module


def by_formula(q, k, positions, pairing):
    inv_freq = rope_of(pairing)._inverse_frequencies(torch.device("cpu"))
    angles = positions[..., None].double() * inv_freq
    return both(q, k, angles.cos().to(q.dtype), angles.sin().to(q.dtype), pairing)


@pytest.mark.parametrize("size", HEADS)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_derivative_by_positions(pairing, size):
    q, k, *_ = given(size, torch.float64)
    positions = torch.arange(1.0, SEQ + 1, dtype=torch.float64)
    direction = random(SEQ, dtype=torch.float64, seed=9)
    turns = [
        lambda where: rope_of(pairing)(q, k, where),
        lambda where: by_formula(q, k, where, pairing),
    ]
    ours, theirs = (jvp(turn, (positions,), (direction,)) for turn in turns)
    for one, other in zip(ours, theirs, strict=True):
        same(one, other)
    if size == "few":
        same(*(jacfwd(turn)(positions) for turn in turns))
        same(jacrev(turns[0])(positions), jacfwd(turns[1])(positions))


@pytest.mark.parametrize("size", HEADS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.float64])
def test_vmap_over_positions_with_shared_heads(pairing, size, dtype):
    q, k, *_ = given(size, torch.float32)
    positions = torch.stack((torch.arange(SEQ), torch.arange(SEQ) + 7)).to(dtype)
    ours = vmap(lambda where: rope_of(pairing)(q, k, where))(positions)
    for number, where in enumerate(positions):
        same([each[number] for each in ours], by_formula(q, k, where, pairing))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_cached_keys_are_turned_again_under_transformations(pairing):
    _, k, *_ = given("few", torch.float64)
    rope, old, new = rope_of(pairing), torch.arange(SEQ), torch.arange(SEQ) + 3

    def again(k):
        return rope.rerotate(k, old, new)

    direction = random(*k.shape, dtype=k.dtype, seed=9)
    moved = rotation_tables(new - old, rope._inverse_frequencies(torch.device("cpu")), k.dtype)
    wanted = formula(direction, *moved, pairing)
    same([jvp(again, (k,), (direction,))[1]], [wanted])
    same([vmap(again)(torch.stack((k, direction)))[1]], [wanted])
