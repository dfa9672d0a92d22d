"""Positions against transformers 5.23: its own ids for padding, packing, patches and M-RoPE."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention as sdpa

from rope_lib import RotaryEmbedding
from rope_lib.course.attention import attention
from rope_lib.models.grids import centered_grid, grid_positions, mrope_positions
from rope_lib.positions import (
    left_padded_positions,
    packed_mask,
    packed_positions,
    sequence_positions,
)

LENGTHS = st.lists(st.integers(0, 5), min_size=0, max_size=6)
ROPE = RotaryEmbedding(8, pairing="half")


def cumulative(lengths, dtype=torch.int32):
    return torch.tensor([0, *lengths]).cumsum(0).to(dtype)


# ---------------------------------------------------------------- tokens in a line


@given(length=st.integers(0, 9), start=st.integers(0, 2**40))
def test_a_sequence_counts_on_from_its_start(length, start):
    positions = sequence_positions(length, start=start)
    assert positions.dtype == torch.int64
    assert positions.tolist() == list(range(start, start + length))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_rows_of_a_batch_have_starts_of_their_own(dtype):
    positions = sequence_positions(3, start=torch.tensor([0, 7, 254], dtype=dtype))
    assert positions.dtype == torch.int64  # a uint8 would come round to 0 after 255
    assert positions.tolist() == [[0, 1, 2], [7, 8, 9], [254, 255, 256]]


def test_a_cached_sequence_is_the_whole_one_continued():
    q, k = torch.randn(2, 2, 3, 9, 8, dtype=torch.float64)
    whole_q, whole_k = ROPE(q, k, sequence_positions(9))
    caches = torch.tensor([4, 4])
    first = ROPE(q[..., :4, :], k[..., :4, :], sequence_positions(4))
    second = ROPE(q[..., 4:, :], k[..., 4:, :], sequence_positions(5, start=caches)[:, None])
    parts = zip(first, second, (whole_q, whole_k), strict=True)
    for early, late, whole in parts:
        assert torch.equal(torch.cat((early, late), dim=-2), whole)


# ---------------------------------------------------------------- padded batches


@given(mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4))
def test_any_mask_is_read_as_generate_reads_it(mask):
    """transformers 5.23, ``GenerationMixin``: left padding, right padding and holes alike."""
    from transformers import LlamaConfig, LlamaForCausalLM

    mask = torch.tensor(mask)
    config = LlamaConfig(
        vocab_size=4, hidden_size=4, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1,
    )  # fmt: skip
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    kwargs = {"attention_mask": mask.long()}
    theirs = model._prepare_position_ids_for_generation(torch.zeros_like(mask).long(), kwargs)
    for kind in (torch.bool, torch.uint8, torch.int64):
        ours = left_padded_positions(mask.to(kind))
        assert ours.dtype == torch.int64
        assert torch.equal(ours, theirs)


def test_each_row_s_next_token_is_one_past_its_last():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    step = sequence_positions(1, start=mask.sum(-1))
    longer = left_padded_positions(torch.cat((mask, torch.ones(3, 1, dtype=torch.int64)), dim=1))
    assert torch.equal(step, longer[:, -1:])


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_equal_the_separate_sequences(side):
    """unsloth#3699, OLMo-core#591: padding must not move a token."""
    generator, lengths, longest = torch.Generator().manual_seed(0), [5, 2, 7], 7
    q, k, v = torch.randn(3, 3, 2, longest, 8, generator=generator, dtype=torch.float64)
    column = torch.arange(longest)
    ends = torch.tensor(lengths)[:, None]
    mask = column >= longest - ends if side == "left" else column < ends
    places = left_padded_positions(mask)[:, None]
    visible = mask[:, None, None]
    batched = attention(q, k, v, encoding=ROPE, positions=places, mask=visible, causal=True)
    for row, length in enumerate(lengths):
        one = [x[row, :, mask[row]] for x in (q, k, v)]
        alone = sdpa(*ROPE(*one[:2], sequence_positions(length)), one[2], is_causal=True)
        torch.testing.assert_close(batched[row, :, mask[row]], alone, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- packed sequences


@given(lengths=LENGTHS, dtype=st.sampled_from([torch.int32, torch.int64]))
def test_each_packed_sequence_begins_at_0_and_sees_itself_only(lengths, dtype):
    expected = [place for length in lengths for place in range(length)]
    owner = [number for number, length in enumerate(lengths) for _ in range(length)]
    packed = cumulative(lengths, dtype)
    for total in (None, sum(lengths)):
        positions, mask = packed_positions(packed, total=total), packed_mask(packed, total=total)
        assert positions.dtype == torch.int64
        assert positions.tolist() == expected
        assert mask.tolist() == [[one == two for two in owner] for one in owner]


@given(lengths=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_packing_is_that_of_the_padding_free_collator(lengths):
    """transformers 5.23: ``DataCollatorWithFlattening`` and ``find_packed_sequence_indices``."""
    from transformers import DataCollatorWithFlattening
    from transformers.masking_utils import find_packed_sequence_indices

    collate = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_tensors="pt")
    batch = collate([{"input_ids": list(range(length))} for length in lengths])
    positions = packed_positions(batch["cu_seq_lens_q"])
    assert torch.equal(positions, batch["position_ids"][0])
    owner = find_packed_sequence_indices(positions[None])
    same = torch.ones(len(positions), len(positions), dtype=torch.bool)
    if owner is not None:  # None: one sequence alone
        same = owner[0, :, None] == owner[0]
    assert torch.equal(packed_mask(batch["cu_seq_lens_q"]), same)


def test_packed_batches_equal_the_separate_sequences():
    """torchtitan#2559: a token packed behind another sequence is where it would be alone."""
    generator, lengths = torch.Generator().manual_seed(0), [3, 0, 6, 1]
    q, k, v = torch.randn(3, 2, sum(lengths), 8, generator=generator, dtype=torch.float64)
    packed = cumulative(lengths)
    mask, places = packed_mask(packed), packed_positions(packed)
    together = attention(q, k, v, encoding=ROPE, positions=places, mask=mask, causal=True)
    parts = zip(*(x.split(lengths, dim=-2) for x in (q, k, v, together)), strict=True)
    for length, (one_q, one_k, one_v, expected) in zip(lengths, parts, strict=True):
        if length:
            turned = ROPE(one_q, one_k, sequence_positions(length))
            alone = sdpa(*turned, one_v, is_causal=True)
            torch.testing.assert_close(alone, expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- images


@given(
    blocks=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    merge=st.integers(1, 3),
    frames=st.integers(1, 3),
)
def test_patches_come_in_the_order_of_qwen_s_vision_towers(blocks, merge, frames):
    """transformers 5.23, Qwen2-VL, Qwen2.5-VL and Qwen3-VL vision towers."""
    from transformers.vision_utils import get_vision_position_ids

    height, width = (side * merge for side in blocks)
    theirs = get_vision_position_ids(torch.tensor([[frames, height, width]]), merge)
    ours = grid_positions(height, width, merge=merge).repeat(1, frames)
    assert torch.equal(ours, theirs.T)


@given(height=st.integers(1, 6), width=st.integers(1, 6), prefix=st.integers(0, 5))
def test_reading_order_is_divmod_and_prefix_tokens_stand_at_0(height, width, prefix):
    rows, columns = grid_positions(height, width, prefix=prefix).tolist()
    assert rows[:prefix] == columns[:prefix] == [0] * prefix
    places = list(zip(rows[prefix:], columns[prefix:], strict=True))
    assert places == [divmod(patch, width) for patch in range(height * width)]


@given(height=st.integers(1, 40), width=st.integers(1, 40), prefix=st.integers(0, 5))
def test_centres_are_the_bits_of_dinov3(height, width, prefix):
    """transformers 5.23, ``dinov3_vit``, times the ``2 pi`` of its rotary module."""
    from transformers.models.dinov3_vit.modeling_dinov3_vit import get_patches_center_coordinates

    theirs = get_patches_center_coordinates(height, width, torch.float32, torch.device("cpu"))
    shipped = centered_grid(height, width, prefix=prefix, dtype=torch.float32)
    assert torch.equal(shipped[:, prefix:], (2 * math.pi * theirs).T)
    exact = centered_grid(height, width, prefix=prefix)
    assert exact.dtype == torch.float64
    assert torch.equal(exact[:, :prefix], torch.zeros(2, prefix).double())
    torch.testing.assert_close(exact.float(), shipped, rtol=1e-5, atol=1e-5)


@given(side=st.integers(1, 30), finer=st.integers(1, 5))
def test_an_image_ends_at_the_same_angles_at_every_resolution(side, finer):
    """The mean of the fine patches inside a coarse patch is the coarse patch."""
    coarse, fine = centered_grid(1, side)[1], centered_grid(1, side * finer)[1]
    torch.testing.assert_close(fine.reshape(side, finer).mean(1), coarse, rtol=0, atol=1e-12)


# ---------------------------------------------------------------- text, images and video


def drive(model_class, config, rows, side, **times):
    """The model's own ids for ``rows`` of ``(kind, t, h, w)`` or ``(0, length)``; and its mask."""
    merge = config.vision_config.spatial_merge_size
    kinds = [[part[0] for part in row for _ in range(math.prod(part[1:]))] for row in rows]
    longest = max(map(len, kinds)) + 1
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    types = torch.zeros(len(rows), longest, dtype=torch.int32)
    for number, row in enumerate(kinds):
        place = slice(longest - len(row), None) if side == "left" else slice(0, len(row))
        mask[number, place], types[number, place] = 1, torch.tensor(row, dtype=torch.int32)
    grids = {kind: [[t, merge * h, merge * w] for row in rows for which, *size in row
                    if which == kind for t, h, w in [size]] for kind in (1, 2)}  # fmt: skip
    grids = {kind: torch.tensor(sizes) if sizes else None for kind, sizes in grids.items()}
    model = SimpleNamespace(config=config)
    model.get_vision_position_ids = model_class.get_vision_position_ids.__get__(model)
    ids, deltas = model_class.get_rope_index(
        model, torch.zeros_like(mask), types, image_grid_thw=grids[1], video_grid_thw=grids[2],
        attention_mask=mask, **times,
    )  # fmt: skip
    return ids, deltas, mask.bool()


def require_equal(theirs, rows, **arguments):
    ids, deltas, mask = theirs
    ours = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        positions = mrope_positions(row, **arguments)
        ours[:, number, mask[number]] = positions
        assert deltas[number].item() == positions.max() + 1 - positions.shape[1]
    assert ours.dtype == ids.dtype
    assert torch.equal(ours, ids)


TEXT, SIDES = st.integers(1, 4), st.integers(1, 4)
IMAGE = st.tuples(st.just(1), st.just(1), SIDES, SIDES)
VIDEO = st.tuples(st.just(2), st.integers(1, 6), SIDES, SIDES)
ROWS = st.lists(
    st.lists(st.tuples(TEXT, IMAGE | VIDEO), max_size=3).flatmap(
        lambda pairs: TEXT.map(
            lambda last: [part for text, grid in pairs for part in ((0, text), grid)] + [(0, last)]
        )
    ),
    min_size=1,
    max_size=3,
)
PADDING = st.sampled_from(["left", "right"])


def segments(row):
    return [part[1] if part[0] == 0 else part[1:] for part in row]


@given(rows=ROWS, side=PADDING)
def test_ids_are_those_of_qwen2_vl(rows, side):
    """transformers 5.23, ``Qwen2VLModel.get_rope_index``."""
    from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLConfig, Qwen2VLModel

    theirs = drive(Qwen2VLModel, Qwen2VLConfig(), rows, side)
    require_equal(theirs, [segments(row) for row in rows], resume="space")


@given(
    rows=ROWS,
    side=PADDING,
    per_second=st.sampled_from([1, 2, 4, 25]),
    data=st.data(),
    as_tensor=st.booleans(),
)
def test_ids_are_those_of_qwen2_5_vl(rows, side, per_second, data, as_tensor):
    """transformers 5.23, ``Qwen2_5_VLModel.get_rope_index``, fractional time steps included."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLConfig, Qwen2_5_VLModel

    config = Qwen2_5_VLConfig(vision_config={"tokens_per_second": per_second})
    videos = sum(part[0] == 2 for row in rows for part in row)
    choice = st.sampled_from([0.083, 0.5, 2 / 3, 0.7, 1.0, 2.0]) | st.floats(0.01, 9)
    seconds = data.draw(st.lists(choice, min_size=videos, max_size=videos))
    if as_tensor:
        seconds = torch.tensor(seconds)
    theirs = drive(Qwen2_5_VLModel, config, rows, side, second_per_grid_ts=seconds)
    steps = iter([float(per_second * second) for second in seconds])
    ours = [
        [part[1] if not part[0] else (*part[1:], next(steps)) if part[0] == 2 else part[1:]
         for part in row] for row in rows
    ]  # fmt: skip
    require_equal(theirs, ours, resume="space")


@given(rows=ROWS, side=PADDING, stamp=st.integers(1, 3))
def test_ids_are_those_of_qwen3_vl(rows, side, stamp):
    """transformers 5.23, ``Qwen3VLModel.get_rope_index``: a stamp as text before each frame."""
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLConfig, Qwen3VLModel

    frames = [
        [piece for part in row
         for piece in ([(0, stamp), (2, 1, *part[2:])] * part[1] if part[0] == 2 else [part])]
        for row in rows
    ]  # fmt: skip
    # The model is given whole videos and cuts them itself: its grids come from ``rows``.
    whole = [(2, *part[1:]) for row in rows for part in row if part[0] == 2]

    class Cut(Qwen3VLModel):
        def get_rope_index(self, *arguments, video_grid_thw, **others):
            if whole:
                merge = self.config.vision_config.spatial_merge_size
                video_grid_thw = torch.tensor([[t, merge * h, merge * w] for _, t, h, w in whole])
            return Qwen3VLModel.get_rope_index(
                self, *arguments, video_grid_thw=video_grid_thw, **others
            )

    theirs = drive(Cut, Qwen3VLConfig(), frames, side)
    require_equal(theirs, [segments(row) for row in frames])


def test_a_long_video_must_say_where_the_text_goes_on():
    """Qwen's own code goes on past the largest number, transformers 5.23 past rows and columns."""
    past_all = mrope_positions([2, (5, 1, 2), 1], resume="max")
    past_space = mrope_positions([2, (5, 1, 2), 1], resume="space")
    assert past_all[:, -1].tolist() == [7, 7, 7]
    assert past_space[:, -1].tolist() == [4, 4, 4]
    assert torch.equal(past_all[:, :-1], past_space[:, :-1])
    assert torch.equal(past_all[:, :-1], mrope_positions([2, (5, 1, 2)]))  # nothing to disagree on
    with pytest.raises(ValueError, match=r"before segments\[2\].*'max' goes on at 7.*'space' at 4"):
        mrope_positions([2, (5, 1, 2), 1])


@given(rows=ROWS, resume=st.sampled_from(["max", "space"]))
def test_decoding_on_is_the_longer_sequence(rows, resume):
    for row in rows:
        parts = segments(row)
        whole = mrope_positions([*parts, (1, 2, 2), 3], resume="max")
        before = mrope_positions(parts, resume="max")
        after = mrope_positions([(1, 2, 2), 3], start=int(before.max()) + 1, resume=resume)
        assert torch.equal(torch.cat((before, after), dim=1), whole)


def test_text_alone_stands_at_one_number_on_all_axes():
    assert torch.equal(mrope_positions([3, 0, 4], start=5), torch.arange(5, 12).expand(3, -1))
    assert mrope_positions([]).shape == (3, 0)


# ---------------------------------------------------------------- devices, compilers, errors

IN_ALL_WAYS = {
    "sequence": lambda x: sequence_positions(x.shape[0], device=x.device),
    "starts": lambda x: sequence_positions(3, start=x[:, 0].long()),
    "left padded": lambda x: left_padded_positions(x > 0),
    "packed": lambda x: packed_positions(x[0].long().cumsum(0), total=x.shape[0]),
    "packed mask": lambda x: packed_mask(x[0].long().cumsum(0), total=x.shape[0]),
    "grid": lambda x: grid_positions(*x.shape, merge=2, prefix=1, device=x.device),
    "centered": lambda x: centered_grid(*x.shape, prefix=1, device=x.device),
    "mrope": lambda x: mrope_positions([x.shape[0], (3, 1, 2, 1.5), 2], resume="max",
                                       device=x.device),
}  # fmt: skip


def rows_of(length):
    """``(length, 4)``; the running sums of its first row begin at 0 and end at ``length``."""
    x = torch.zeros(length, 4)
    x[:, 2:] = length / 2
    return x


@pytest.mark.parametrize("name", IN_ALL_WAYS)
def test_a_compiler_sees_one_graph(name):
    function = IN_ALL_WAYS[name]
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend="eager")
    for length in (4, 6, 10):
        assert torch.equal(compiled(rows_of(length)), function(rows_of(length)))


@pytest.mark.parametrize("name", IN_ALL_WAYS)
@pytest.mark.parametrize(
    "device", ["meta", pytest.param("cuda", marks=pytest.mark.skipif(
        not torch.cuda.is_available(), reason="needs a GPU"))]
)  # fmt: skip
def test_results_live_where_they_are_asked_to(name, device):
    here = IN_ALL_WAYS[name](rows_of(6))
    there = IN_ALL_WAYS[name](rows_of(6).to(device))
    assert there.device.type == device
    assert (there.shape, there.dtype) == (here.shape, here.dtype)
    if device == "cuda":  # which divides by a count by multiplying with its reciprocal
        assert torch.allclose(there.cpu().double(), here.double(), rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sequence_positions(-1), "length must be at least 0, got -1"),
        (lambda: sequence_positions(2, start=-3), "start must be at least 0, got -3"),
        (lambda: sequence_positions(2, start=torch.tensor([4, -3])), "start must be .*got -3"),
        (lambda: sequence_positions(2, start=torch.tensor(3)), r"start must have.*got shape \(\)"),
        (lambda: sequence_positions(2, start=torch.ones(1).long(), device="meta"), "device must"),
        (lambda: left_padded_positions(torch.tensor([[0, 2]])), "mask must hold 1.*got 2"),
        (lambda: left_padded_positions(torch.tensor([[0, -1]])), "mask must hold 1.*got -1"),
        (lambda: left_padded_positions(torch.tensor(1)), r"mask must have.*got shape \(\)"),
        (lambda: packed_positions(torch.tensor([1, 3])), "cu_seqlens must start at 0, got 1"),
        (lambda: packed_mask(torch.tensor([0, 3, 2])), r"never fall, got \[0, 3, 2\]"),
        (lambda: packed_positions(torch.tensor([[0, 3]])), r"cu_seqlens must.*shape \(1, 2\)"),
        (lambda: packed_positions(torch.tensor([]).int()), r"cu_seqlens must.*shape \(0,\)"),
        (lambda: packed_positions(torch.tensor([0, 3]), total=4), "total must be.* 3, got 4"),
        (lambda: grid_positions(0, 2), "height must be at least 1, got 0"),
        (lambda: grid_positions(4, 6, merge=4), "width must be a multiple of merge = 4, got 6"),
        (lambda: grid_positions(4, 6, merge=0), "merge must be at least 1, got 0"),
        (lambda: grid_positions(4, 6, prefix=-1), "prefix must be at least 0, got -1"),
        (lambda: centered_grid(2, 0), "width must be at least 1, got 0"),
        (lambda: mrope_positions([2, -1]), r"segments\[1\] must be at least 0, got -1"),
        (lambda: mrope_positions([(1, 2)]), r"segments\[0\] must be \(t, h, w\).*got \(1, 2\)"),
        (lambda: mrope_positions([(1, 0, 2)]), r"segments\[0\] must be at least 1, got 0"),
        (lambda: mrope_positions([(2, 1, 2, 0.0)]), r"segments\[0\] must be finite.*got 0.0"),
        (lambda: mrope_positions([2], start=-1), "start must be at least 0, got -1"),
        (lambda: mrope_positions([2], resume="time"), "resume must be 'max' or 'space', got"),
    ],
)
def test_wrong_values_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sequence_positions(2.0), "length must be an integer, got 2.0"),
        (lambda: sequence_positions(True), "length must be an integer, got True"),
        (lambda: sequence_positions(2, start=torch.ones(2)), "start must hold integers, got"),
        (lambda: sequence_positions(2, start=torch.ones(2).bool()), "start must hold integers"),
        (lambda: sequence_positions(2, start=[1, 2]), r"start must be an integer, got \[1, 2\]"),
        (lambda: left_padded_positions([[0, 1]]), "mask must be a torch.Tensor, got list"),
        (lambda: left_padded_positions(torch.zeros(1, 2)), "mask must hold booleans or integers"),
        (lambda: packed_positions([0, 3]), "cu_seqlens must be a torch.Tensor, got list"),
        (lambda: packed_mask(torch.tensor([0.0, 3.0])), "cu_seqlens must hold integers, got"),
        (lambda: packed_positions(torch.tensor([0, 3]), total=3.0), "total must be an integer"),
        (lambda: grid_positions(2.0, 2), "height must be an integer, got 2.0"),
        (lambda: centered_grid(2, 2, dtype=torch.float16), "dtype must be"),
        (lambda: mrope_positions(["text"]), r"segments\[0\] must be an integer, got 'text'"),
        (lambda: mrope_positions([(1, 2.0, 2)]), r"segments\[0\] must be an integer, got 2.0"),
        (lambda: mrope_positions([(1, 2, 2, "1")]), r"segments\[0\] must be a real number"),
    ],
)
def test_wrong_types_are_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()
