"""The shapes that people have: other orders of dimensions, positions for a batch, keys alone."""

import pytest
import torch

from rope_lib import RotaryEmbedding, rotate, rotate_, rotation_tables
from rope_lib.eager import blocks, passes
from rope_lib.kernels import rotate_qk, rotate_qk_
from rope_lib.models.grids import mrope_positions

PAIRINGS = ("interleaved", "half")
BATCH, HEADS, KEY_HEADS, SEQ, WIDTH = 2, 4, 2, 3, 8
# From each layout to (batch, heads, seq, head_dim), and back.
LAYOUTS = {
    "bhsd": (lambda x: x, lambda x: x),
    "bshd": (lambda x: x.transpose(1, 2), lambda x: x.transpose(1, 2)),
    "sbhd": (lambda x: x.permute(1, 2, 0, 3), lambda x: x.permute(2, 0, 1, 3)),
}


def random(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def heads(dtype=torch.float32, seq=SEQ):
    return (
        random(BATCH, HEADS, seq, WIDTH, dtype=dtype),
        random(BATCH, KEY_HEADS, seq, WIDTH, dtype=dtype, seed=1),
    )


def rope_of(pairing, **settings):
    return RotaryEmbedding(WIDTH, pairing=pairing, **settings)


def equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


# Orders of dimensions


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("settings", [{}, {"rotary_dim": 4}, {"rotary_dim": 4, "rotated": "last"}])
@pytest.mark.parametrize("shape", [(SEQ,), (BATCH, SEQ), ()])
def test_a_layout_is_the_same_turn_seen_otherwise(layout, pairing, settings, shape):
    q, k = heads()
    _, back = LAYOUTS[layout]
    positions = torch.arange(6)[: torch.Size(shape).numel()].reshape(shape)
    wanted = rope_of(pairing, **settings)(q, k, positions)
    rope = rope_of(pairing, layout=layout, **settings)
    equal(rope(back(q), back(k), positions), map(back, wanted))
    tables = rope.tables(positions)
    equal(rope.rotate(back(q), back(k), *tables), map(back, wanted))


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_packed_tokens_before_heads(pairing):
    q, k = random(5, HEADS, WIDTH), random(5, KEY_HEADS, WIDTH, seed=1)
    positions = torch.tensor([0, 1, 2, 0, 1])
    wanted = rope_of(pairing)(q.transpose(0, 1), k.transpose(0, 1), positions)
    ours = rope_of(pairing, layout="thd")(q, k, positions)
    equal(ours, (x.transpose(0, 1) for x in wanted))


def test_as_many_heads_as_tokens_are_turned_by_their_tokens():
    """Without a layout both ways would do, and one of them would be wrong in silence."""
    x = random(1, SEQ, SEQ, WIDTH)
    tables = rotation_tables(torch.arange(SEQ), torch.ones(WIDTH // 2))
    ours = rotate(x, *tables, pairing="half", layout="bshd")
    assert torch.equal(ours, rotate(x.transpose(1, 2), *tables, pairing="half").transpose(1, 2))
    assert not torch.equal(ours, rotate(x, *tables, pairing="half"))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("turn", [rotate, rotate_])
def test_tables_as_deep_as_the_heads_stand_in_their_order(layout, turn):
    q, _ = heads()
    _, back = LAYOUTS[layout]
    cos, sin = rotation_tables(torch.arange(BATCH * SEQ).reshape(BATCH, SEQ), torch.ones(4))
    wanted = back(rotate(q, cos[:, None], sin[:, None], pairing="half"))
    full = back(cos[:, None]), back(sin[:, None])
    for tables in (full, (cos, sin)):
        ours = turn(back(q).clone(), *tables, pairing="half", layout=layout)
        assert torch.equal(ours, wanted)
    both = rotate_qk(back(q), back(q), *full, pairing="half", layout=layout)
    equal(both, (wanted, wanted))
    copies = back(q).clone(), back(q).clone()
    equal(rotate_qk_(*copies, *full, pairing="half", layout=layout), (wanted, wanted))


@pytest.mark.parametrize(
    ("layout", "shape", "said"),
    [
        ("bsdh", (1, 2, 3, 8), "layout must be 'bhsd' or 'bshd' or 'thd' or 'sbhd', got 'bsdh'"),
        ("bshd", (2, 3, 8), "x must have 4 dimensions for layout 'bshd'"),
        ("thd", (1, 2, 3, 8), "x must have 3 dimensions for layout 'thd'"),
    ],
)
def test_a_layout_that_does_not_fit_is_named(layout, shape, said):
    tables = rotation_tables(torch.arange(3), torch.ones(4))
    with pytest.raises(ValueError, match=said):
        rotate(torch.ones(shape), *tables, pairing="half", layout=layout)


# Positions


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_position_ids_of_a_batch(pairing):
    """As transformers has them, with padding on the left."""
    q, k = heads()
    ids = torch.tensor([[0, 0, 1], [0, 1, 2]])
    rope = rope_of(pairing)
    equal(rope(q, k, ids), rope(q, k, ids[:, None, :]))
    with pytest.raises(ValueError, match=r"positions must have shape .*\(batch, 3\)"):
        rope(q, k, torch.zeros(3, 3).long())


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_an_integer_is_where_the_first_token_stands(pairing):
    q, k = heads()
    rope = rope_of(pairing)
    equal(rope(q, k, 7), rope(q, k, torch.arange(7, 7 + SEQ)))
    with pytest.raises(ValueError, match="start must be at least 0, got -1"):
        rope(q, k, -1)
    with pytest.raises(TypeError, match=r"positions must be a .* or an integer, got float"):
        rope(q, k, 1.0)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_more_keys_than_queries(pairing, layout):
    """A new token among keys that were stored before they were turned."""
    _, back = LAYOUTS[layout]
    (q, _), (_, k) = heads(seq=1), heads(seq=5)
    rope = rope_of(pairing, layout=layout)
    ours = rope(back(q), back(k), 4, key_positions=0)
    wanted_q, _ = rope_of(pairing)(q, None, torch.tensor([4]))
    _, wanted_k = rope_of(pairing)(None, k, torch.arange(5))
    equal(ours, (back(wanted_q), back(wanted_k)))
    with pytest.raises(ValueError, match=r"q has 1 tokens and k 5.*give key_positions"):
        rope(back(q), back(k), 4)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("settings", [{}, {"rotary_dim": 4}, {"output_pairing": "half"}])
def test_queries_alone_or_keys_alone(pairing, settings):
    q, k = heads()
    rope, positions = rope_of(pairing, **settings), torch.arange(SEQ)
    both = rope(q, k, positions)
    only_q, none = rope(q, None, positions)
    assert torch.equal(only_q, both[0])
    assert none is None
    none, only_k = rope(None, k, positions)
    assert torch.equal(only_k, both[1])
    assert none is None
    assert torch.equal(rope(k[0, 0], None, positions)[0], both[1][0, 0])
    with pytest.raises(TypeError, match="q or k must be a tensor, got None twice"):
        rope(None, None, positions)


# A part of a head


@pytest.mark.parametrize("rotated", ["first", "last"])
@pytest.mark.parametrize("pairing", PAIRINGS)
def test_a_part_of_a_head_is_turned_where_that_is_said(pairing, rotated):
    x, (cos, sin) = heads()[0], rotation_tables(torch.arange(SEQ), torch.ones(2))
    part = slice(0, 4) if rotated == "first" else slice(4, 8)
    wanted = x.clone()
    wanted[..., part] = rotate(x[..., part], cos, sin, pairing=pairing)
    assert torch.equal(rotate(x, cos, sin, pairing=pairing, rotated=rotated), wanted)
    equal(rotate_qk(x, x, cos, sin, pairing=pairing, rotated=rotated), (wanted, wanted))
    assert torch.equal(rotate_(x.clone(), cos, sin, pairing=pairing, rotated=rotated), wanted)
    for turn in (rotate, rotate_):
        with pytest.raises(ValueError, match="say rotated='first' or 'last'"):
            turn(x, cos, sin, pairing=pairing)


# The order of the result in memory


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("numbers", [2**7, 2**11, 2**14], ids=["few", "more", "many"])
@pytest.mark.parametrize("part", [{}, {"rotated": "first"}], ids=["whole", "part"])
def test_a_result_lies_in_memory_as_its_argument_does(monkeypatch, pairing, dtype, numbers, part):
    monkeypatch.setattr(passes, "FEW", 2**9)
    monkeypatch.setattr(blocks, "BLOCK", 2**12)
    seq = numbers // (HEADS * WIDTH)
    x = random(1, seq, HEADS, WIDTH, dtype=dtype).transpose(1, 2)
    pairs = WIDTH // 4 if part else WIDTH // 2
    tables = rotation_tables(torch.arange(seq), torch.ones(pairs))
    wanted = torch.empty_like(x).stride()
    assert rotate(x, *tables, pairing=pairing, **part).stride() == wanted
    for turned in rotate_qk(x, x, *tables, pairing=pairing, **part):
        assert turned.stride() == wanted


# Names that people bring along


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: RotaryEmbedding(dim=64), "'dim' .*here that is head_dim"),
        (lambda: RotaryEmbedding(64, pairing="half", theta=1e4), "'theta' .*here that is base"),
        (lambda: RotaryEmbedding(64, pairing="half", interleaved=True), "pairing='interleaved'"),
        (lambda: RotaryEmbedding(64, pairing="half", is_neox_style=True), "pairing='half'"),
        (lambda: RotaryEmbedding(64, pairing="half", colour=1), r"no argument 'colour' \(got 1\)$"),
        (lambda: RotaryEmbedding(64, pairing="neox"), r"got 'neox' \(called 'half' here\)"),
        (lambda: RotaryEmbedding(64, pairing="gptj"), "called 'interleaved' here"),
        (lambda: rotate(torch.ones(8), *2 * [torch.ones(4)], pairing="half", unsqueeze_dim=1),
         "'unsqueeze_dim' .*here that is layout"),
    ],
)  # fmt: skip
def test_arguments_of_other_libraries_are_answered_with_ours(call, said):
    with pytest.raises((TypeError, ValueError), match=said):
        call()


# Times of videos


def test_times_of_a_video_are_exact():
    """transformers#48669: 25 steps a second at four thirds of a second are 33 1/3 each."""
    times = mrope_positions([(120, 1, 1, 25 * 4 / 3)])[0]
    assert times.tolist() == [step * 100 // 3 for step in range(120)]
    shipped = mrope_positions([(120, 1, 1, 25 * 4 / 3)], shipped=True)[0]
    assert times[15] == 500
    assert shipped[15] == 499


def test_what_strangers_write_first_is_answered():
    rope, q = RotaryEmbedding(64, "half"), torch.randn(2, 5, 8, 64)
    assert torch.equal(rope(q, q, 0)[0], RotaryEmbedding(64, pairing="half")(q, q, 0)[0])
    with pytest.raises(ValueError, match="where tokens come before heads, say layout='bshd'"):
        rope(q, q, torch.arange(5))
    for argument, value in (("position_ids", torch.arange(8)), ("offset", 3)):
        with pytest.raises(TypeError, match=f"no argument '{argument}'.*here that is positions"):
            rope(q, q, **{argument: value})
    with pytest.raises(TypeError, match=r"positions must be a torch.Tensor or an integer"):
        rope(q, q)
    cos, sin = rope.tables(torch.arange(8))
    assert torch.equal(rotate(q, cos, sin, "half"), rotate(q, cos, sin, pairing="half"))
    twice = (torch.cat((table, table), dim=-1) for table in (cos, sin))
    with pytest.raises(ValueError, match="of tables that hold each number twice, give one half"):
        rotate(q, *twice, pairing="half")


@pytest.mark.parametrize("pairing", PAIRINGS)
def test_blocks_of_a_view_are_read_in_the_order_of_memory(pairing, monkeypatch):
    """Models hand on (batch, heads, seq, width) as a view; cut by heads it takes twice as long."""
    seen = []
    name = "_turn_adjacent" if pairing == "interleaved" else "_turn_narrow_halves"
    turn = getattr(blocks, name)
    monkeypatch.setattr(blocks, name, lambda *given: (seen.append(given[1]), turn(*given)))
    x = random(BATCH, 600, HEADS, 256, dtype=torch.bfloat16).transpose(1, 2)
    tables = rotation_tables(torch.arange(600), torch.rand(128, dtype=torch.float64))
    result = rotate(x, *tables, pairing=pairing)
    assert len(seen) > 1
    assert all(block.is_contiguous() for block in seen)
    assert torch.equal(result, rotate(x.contiguous(), *tables, pairing=pairing))
