"""One token: what is made once for a table answers for no other, and mistakes are still told."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from rope_lib import (
    RotaryEmbedding,
    arithmetic,
    inverse_frequencies,
    rotate,
    rotate_,
    rotation_tables,
)
from rope_lib.eager import few
from rope_lib.kernels import rotate_qk, rotate_qk_

PAIRINGS = ["interleaved", "half"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
UNIT = {torch.float32: 2.0**-22, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}


def numbers(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tables(*positions, width=16):
    return rotation_tables(torch.tensor(positions), inverse_frequencies(width))


def assert_turned(result, x, cos, sin, pairing):
    wanted = arithmetic.define(x.double(), cos.double(), sin.double(), pairing, torch.float64)
    assert result.dtype == x.dtype
    assert result.shape == x.shape
    unit = UNIT[x.dtype]
    torch.testing.assert_close(result.double(), wanted, rtol=unit, atol=2 * unit)


@pytest.fixture(params=["functional", "rotate_qk", "module", "forward"])
def turn(request):
    """Four ways to turn one token of q by the same tables, with the short way open to each."""
    rope = {pairing: RotaryEmbedding(16, pairing) for pairing in PAIRINGS}

    def run(x, cos, sin, pairing, position=None):
        if request.param == "functional":
            return rotate(x, cos, sin, pairing)
        if request.param == "rotate_qk":
            return rotate_qk(x, x, cos, sin, pairing=pairing)[0]
        if request.param == "module" or position is None:
            return rope[pairing].rotate(x, x, cos, sin)[0]
        return rope[pairing](x, x, position)[0]

    return run


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_one_token_again_and_again(turn, pairing, dtype):
    for position in (5, 1000, 5):
        where = torch.tensor([position])
        cos, sin = tables(position)
        for seed in range(3):
            x = numbers(1, 4, 1, 16, dtype=dtype, seed=seed)
            assert_turned(turn(x, cos, sin, pairing, where), x, cos, sin, pairing)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_the_short_way_is_taken(monkeypatch, turn, pairing):
    """Else the tests here would test nothing: the long way is shut after the first call."""
    cos, sin = tables(3)
    x, where = numbers(1, 4, 1, 16), torch.tensor([3])
    first = turn(x, cos, sin, pairing, where)

    def fail(*args, **kwargs):
        raise AssertionError("the long way was taken")

    monkeypatch.setattr("rope_lib.functional.turn", fail)
    monkeypatch.setattr("rope_lib.functional.define", fail)
    assert torch.equal(turn(x, cos, sin, pairing, where), first)


def written_in_place(cos):
    cos.mul_(-1)


def written_through_data(cos):
    cos.data.mul_(-1)


def written_through_numpy(cos):
    memory = cos.numpy()
    memory *= -1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_in_place(pairing, dtype):
    q, k = numbers(1, 4, 1, 16, dtype=dtype), numbers(1, 2, 1, 16, dtype=dtype, seed=1)
    cos, sin = tables(3)
    one, pair = q.clone(), (q.clone(), k.clone())
    versions = [x._version for x in (one, *pair)]
    assert rotate_(one, cos, sin, pairing) is one
    turned = rotate_qk_(*pair, cos, sin, pairing=pairing)
    assert all(ours is given for ours, given in zip(turned, pair, strict=True))
    for result, x in zip((one, *pair), (q, q, k), strict=True):
        assert_turned(result, x, cos, sin, pairing)
    assert all(x._version > old for x, old in zip((one, *pair), versions, strict=True))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_in_place_is_refused_where_memory_is_shared(pairing):
    cos, sin = tables(3)
    x = numbers(1, 1, 1, 16)
    before = x.clone()
    with pytest.raises(RuntimeError, match="single memory location"):
        rotate_(x.expand(1, 4, 1, 16), cos, sin, pairing)
    with pytest.raises(RuntimeError, match="single memory location"):
        rotate_qk_(x.clone(), x.expand(1, 4, 1, 16), cos, sin, pairing=pairing)
    with pytest.raises(ValueError, match="share memory"):
        rotate_qk_(x, x, cos, sin, pairing=pairing)
    with pytest.raises(RuntimeError, match="leaf"):
        rotate_qk_(x.clone(), before.clone().requires_grad_(), cos, sin, pairing=pairing)
    assert torch.equal(x, before)


WRITES = [written_in_place, written_through_data, written_through_numpy]


@pytest.mark.parametrize("which", [0, 1], ids=["cos", "sin"])
@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_tables_that_were_written_to_are_seen(turn, pairing, write, which):
    pair = tables(7)
    x = numbers(1, 4, 1, 16)
    turn(x, *pair, pairing)
    write(pair[which])
    assert_turned(turn(x, *pair, pairing), x, *pair, pairing)


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_positions_that_were_written_to_are_seen(pairing, write):
    rope, where = RotaryEmbedding(16, pairing, signed=True), torch.tensor([7])
    x = numbers(1, 4, 1, 16)
    for _ in range(2):
        assert_turned(rope(x, x, where)[0], x, *tables(*where.tolist()), pairing)
        write(where)


def test_positions_that_numpy_counts_on():
    rope, counter = RotaryEmbedding(16, "half"), np.array([0])
    where, x = torch.from_numpy(counter), numbers(1, 4, 1, 16)
    for step in range(4):
        assert_turned(rope(x, x, where)[0], x, *tables(step), "half")
        counter += 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("base", 500.0), ("pairing", "half"), ("clockwise", True), ("output_pairing", "half")],
)
def test_a_module_that_was_changed_turns_as_a_new_one(name, value):
    rope, where, x = RotaryEmbedding(16, "interleaved"), torch.tensor([9]), numbers(1, 4, 1, 16)
    rope(x, x, where)
    setattr(rope, name, value)
    if name == "pairing":
        rope.output_pairing = value
    fresh = RotaryEmbedding(16, **{"pairing": "interleaved", name: value})
    wide = fresh(x.double(), x.double(), where)[0]  # the short way is for 32 bits and fewer
    torch.testing.assert_close(rope(x, x, where)[0].double(), wide, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_two_modules_share_positions_and_nothing_else(pairing):
    where, x = torch.tensor([11]), numbers(1, 4, 1, 16)
    ropes = [RotaryEmbedding(16, pairing, base=base) for base in (1e4, 1e6)]
    wanted = [rotate(x, *rope.tables(where), pairing) for rope in ropes]
    for _ in range(3):
        for rope, one in zip(ropes, wanted, strict=True):
            assert torch.equal(rope(x, x, where)[0], one)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_batches_with_positions_of_their_own(pairing):
    rope = RotaryEmbedding(16, pairing)
    x, where = numbers(3, 4, 1, 16), torch.tensor([[3], [0], [800]])
    for _ in range(2):
        turned, none = rope(x, None, where)
        assert none is None
        for text in range(3):
            assert_turned(turned[text], x[text], *tables(int(where[text])), pairing)
    cos, sin = rope.tables(where)
    with pytest.raises(ValueError, match="do not fit"):
        rope.rotate(x[:2], None, cos, sin)
    with pytest.raises(ValueError, match="do not fit"):
        rope.rotate(x[0], None, cos, sin)


@pytest.mark.parametrize("rotated", ["first", "last"])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_part_of_a_head(pairing, rotated):
    rope = RotaryEmbedding(20, pairing, rotary_dim=16, rotated=rotated)
    x, where = numbers(1, 4, 1, 20), torch.tensor([6])
    start = 0 if rotated == "first" else 4
    for _ in range(2):
        turned = rope(x, x, where)[0]
        part = slice(start, start + 16)
        assert_turned(turned[..., part], x[..., part], *tables(6), pairing)
        rest = [i for i in range(20) if not start <= i < start + 16]
        assert torch.equal(turned[..., rest], x[..., rest])
    with pytest.raises(ValueError, match="must have head_dim = 20 as its last dimension"):
        rope.rotate(x[..., :16], None, *rope.tables(where))


@pytest.mark.parametrize(
    ("q", "message"),
    [
        (numbers(1, 4, 1, 18), "q must have head_dim = 16"),
        (numbers(1, 4, 2, 16), "do not fit q of shape"),
        (numbers(1, 4, 1, 16).long(), "q must have a 16, 32 or 64-bit float dtype"),
        (numbers(16), "q must have at least 2 dimension"),
        (numbers(1, 4, 1, 16).to_sparse(), "q must be a dense tensor"),
        (numbers(1, 4, 1, 16).numpy(), "q must be a torch.Tensor"),
    ],
    ids=["width", "tokens", "integers", "one dimension", "sparse", "numpy"],
)
def test_bad_input_is_told_at_every_call(q, message):
    rope, good = RotaryEmbedding(16, "half"), numbers(1, 4, 1, 16)
    cos, sin = rope.tables(torch.tensor([2]))
    for _ in range(2):
        rope.rotate(good, good, cos, sin)
        with pytest.raises((TypeError, ValueError), match=message):
            rope.rotate(q, good, cos, sin)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_an_unknown_pairing_and_two_nones(pairing):
    cos, sin = tables(2)
    rotate(numbers(1, 4, 1, 16), cos, sin, pairing)
    with pytest.raises(ValueError, match="pairing must be"):
        rotate(numbers(1, 4, 1, 16), cos, sin, "neox")
    with pytest.raises(TypeError):
        rotate_qk(None, None, cos, sin, pairing=pairing)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_inference_mode_and_then_training(pairing):
    rope, where = RotaryEmbedding(16, pairing), torch.tensor([4])
    x = numbers(1, 4, 1, 16)
    with torch.inference_mode():
        inside = [rope(x, x, where)[0] for _ in range(2)][-1]
        kept = rope.tables(where)
        rope.rotate(x, x, *kept)
    leaf = x.clone().requires_grad_()
    for turned in (rope(leaf, leaf, where)[0], rotate(leaf, *tables(4), pairing)):
        torch.testing.assert_close(turned.detach(), inside)
        (gradient,) = torch.autograd.grad(turned.sum(), leaf)
        assert_turned(gradient, torch.ones_like(x), kept[0], -kept[1], pairing)
    assert not rope(x, x, where)[0].is_inference()


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_tracer_takes_the_tables_for_arguments(pairing):
    x, (cos, sin), other = numbers(1, 4, 1, 16), tables(4), tables(90)
    rotate(x, cos, sin, pairing)
    traced = make_fx(lambda x, cos, sin: rotate(x, cos, sin, pairing))(x, cos, sin)
    assert_turned(traced(x, *other), x, *other, pairing)
    scripted = torch.jit.trace(lambda x, cos, sin: rotate(x, cos, sin, pairing), (x, cos, sin))
    assert_turned(scripted(x, *other), x, *other, pairing)


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_vmap_over_texts_and_over_tables(pairing):
    x, (cos, sin) = numbers(3, 4, 1, 16), tables(4)
    rotate(x, cos, sin, pairing)
    mapped = torch.vmap(lambda x: rotate(x, cos, sin, pairing))(x)
    assert_turned(mapped, x, cos, sin, pairing)
    both = [torch.stack(pair) for pair in zip(tables(4), tables(9), tables(2), strict=True)]
    each = torch.vmap(lambda x, cos, sin: rotate(x, cos, sin, pairing))(x, *both)
    for text in range(3):
        assert_turned(each[text], x[text], both[0][text], both[1][text], pairing)


def test_memory_of_tables_is_bounded_and_large_ones_are_not_kept():
    for position in range(3 * few.RECENT):
        rotate(numbers(4, 1, 16), *tables(position), "half")
    assert len(few._recent) <= few.RECENT
    before = set(few._recent)
    rotate(numbers(1, 2000, 16), *tables(*range(2000)), "half")
    assert set(few._recent) == before


def test_copies_and_pickles_remember_nothing():
    rope, where, x = RotaryEmbedding(16, "half"), torch.tensor([4]), numbers(1, 4, 1, 16)
    wanted = rope(x, x, where)[0]
    for other in (copy.deepcopy(rope), pickle.loads(pickle.dumps(rope))):
        assert other._last is None
        assert torch.equal(other(x, x, where)[0], wanted)


def test_threads_do_not_disturb_each_other():
    rope, faults = RotaryEmbedding(16, "half"), []
    x = numbers(1, 4, 1, 16)

    def work(start):
        for position in range(start, start + 60):
            wanted = rotate(x.double(), *(t.double() for t in tables(position)), "half")
            turned = rope(x, x, torch.tensor([position]))[0]
            if not torch.allclose(turned.double(), wanted, atol=1e-5):
                faults.append(position)

    threads = [threading.Thread(target=work, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
