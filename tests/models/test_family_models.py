"""Real architectures of transformers (5.23.0), tiny and with random weights, turned by rope_lib.

For each: the tables, the rotated queries and keys, and what the whole model makes of them when its
own rotary code is taken out and ours put in. "Exact" is the default precision, "shipped" the one
that rounds where the model's released code rounds.
"""

import copy
import math
from collections.abc import Callable
from functools import cache

import pytest
import torch

from family_models import (
    CASES,
    Case,
    Intercepted,
    Turn,
    in_bfloat16,
    logits,
    own_tables,
    rotary,
    turned,
)
from rope_lib import RotaryEmbedding
from rope_lib.models.conventions import MODELS
from rope_lib.positions import left_padded_positions

TOLERANCE = 1e-5
LEFT_OUT = {"ChatGLM-6B", "ChatGLM2", "NeoMME", "Inkling, vision tower", "Kimi, vision tower",
            "Muse, vision tower", "Step, vision tower"}  # fmt: skip
DTYPES = (torch.float32, torch.bfloat16)


class Family:
    """One architecture: its model in both dtypes, and what it does by itself."""

    def __init__(self, case: Case):
        self.case = case
        model = case.build()
        self.models = {torch.float32: model, torch.bfloat16: in_bfloat16(model)}
        self.inputs = case.inputs(model.config, torch.Generator().manual_seed(1))
        self.own = cache(self._own)

    def _own(self, dtype: torch.dtype) -> tuple[torch.Tensor, list[Turn]]:
        with Intercepted(self.case, self.models[dtype]) as watched:
            return logits(self.models[dtype], self.inputs), watched.turns

    def answer(
        self, dtype: torch.dtype, change: Callable = lambda rope: rope, *, shipped: bool = False
    ) -> Callable[[Turn], tuple[torch.Tensor, ...]]:
        """How rope_lib, changed by ``change``, turns in this model's stead."""

        def answer(turn: Turn) -> tuple[torch.Tensor, ...]:
            rope = change(rotary(self.case, self.models[dtype], turn, shipped=shipped))
            return turned(self.case, rope, turn)

        return answer

    def replaced(
        self, dtype: torch.dtype, change: Callable = lambda rope: rope, *, shipped: bool = False
    ) -> torch.Tensor:
        """What the model makes of its inputs when rope_lib turns, changed by ``change``."""
        model = self.models[dtype]
        with Intercepted(self.case, model, self.answer(dtype, change, shipped=shipped)) as taken:
            result = logits(model, self.inputs)
        assert len(taken.turns) == self.case.turns
        spoilt = all(table.isnan().all() for turn in taken.turns for table in turn.tables)
        assert spoilt is self.case.makes_tables
        return result


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def family(request):
    return Family(request.param)


def distance(a, b):
    return (a.double() - b.double()).abs().max().item()


def as_good_as_equal(case: Case, a: torch.Tensor, b: torch.Tensor) -> bool:
    """The same bits; a rounding apart where the model computes in a way of its own."""
    one_rounding = 2**-7 if b.dtype == torch.bfloat16 else 2**-22
    largest = b.abs().max().item()
    return torch.equal(a, b) or (not case.same_bits and distance(a, b) <= one_rounding * largest)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tables_are_the_model_s(family, dtype):
    """Bit for bit where rounding follows the model; exact ones agree to the model's rounding."""
    _, turns = family.own(dtype)
    assert len(turns) == family.case.turns
    for turn in turns:
        theirs = own_tables(family.case, turn)
        exact, shipped = (
            rotary(family.case, family.models[dtype], turn, shipped=mode) for mode in (False, True)
        )
        wide = torch.promote_types(theirs[0].dtype, torch.float32)
        for mode, table_dtype in ((exact, wide), (shipped, theirs[0].dtype)):
            ours = mode.tables(turn.positions, table_dtype)
            for mine, other in zip(ours, theirs, strict=True):
                mine = mine[..., -other.shape[-2] :, :].reshape(other.shape)  # without a prefix
                if mode is shipped:
                    assert as_good_as_equal(family.case, mine, other)
                # An angle of 20 radians, as float32, is off by 1e-6 at most; a table by 2**-9.
                bound = 3e-6 if other.dtype == torch.float32 else 2**-8 * mode.amplitude
                assert distance(mine, other) <= bound


def test_queries_and_keys_are_turned_as_the_model_turns_them(family):
    _, turns = family.own(torch.float32)
    for turn in turns:
        rope = rotary(family.case, family.models[torch.float32], turn)
        for ours, theirs in zip(turned(family.case, rope, turn), turn.result, strict=True):
            assert distance(ours, theirs) <= TOLERANCE * max(1, theirs.abs().max().item())


def test_queries_and_keys_in_bfloat16_differ_by_the_rounding_of_the_model(family):
    """For a pair of length r, tables, products and sum each rounded to 8 bits are off by r / 128.

    Two products of a number and a table, each off by two roundings of 2**-9, their sum by one, and
    our own result by one.
    """
    _, turns = family.own(torch.bfloat16)
    for turn in turns:
        rope = rotary(family.case, family.models[torch.bfloat16], turn)
        for ours, theirs in zip(turned(family.case, rope, turn), turn.result, strict=True):
            bound = theirs.double().norm(dim=-1, keepdim=True) / 128 * 1.01
            assert ((ours.double() - theirs.double()).abs() <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_queries_and_keys_are_bit_for_bit_those_of_the_released_code(family, dtype):
    _, turns = family.own(dtype)
    for turn in turns:
        rope = rotary(family.case, family.models[dtype], turn, shipped=True)
        for ours, theirs in zip(turned(family.case, rope, turn), turn.result, strict=True):
            assert ours.dtype == theirs.dtype
            assert as_good_as_equal(family.case, ours, theirs)


def test_the_model_gives_the_same_logits_with_our_rotation(family):
    """From 16 on, float32 lies twice as far apart: Gemma 4's vision tower goes up to 18."""
    own, _ = family.own(torch.float32)
    _, exponent = math.frexp(own.abs().max().item())  # the largest lies below 2**exponent
    bound = TOLERANCE * 2 ** max(0, exponent - 4)
    assert distance(family.replaced(torch.float32), own) <= bound


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_model_gives_the_very_bits_with_our_rotation_as_shipped(family, dtype):
    own, _ = family.own(dtype)
    result = family.replaced(dtype, shipped=True)
    if family.case.same_bits:
        assert torch.equal(result, own)
    else:
        # Two steps of a bfloat16 between 4 and 8, where the largest logits are.
        assert distance(result, own) <= (TOLERANCE if dtype == torch.float32 else 2**-4)


def test_in_bfloat16_our_rotation_is_no_further_from_the_truth_than_the_model_s(family):
    """The truth: the same rounded weights and inputs, computed in float32."""
    own, _ = family.own(torch.bfloat16)
    model = copy.deepcopy(family.models[torch.bfloat16]).float()
    truth = logits(model, family.inputs, rounded=True).double()
    errors = [
        (result.double() - truth).square().mean().sqrt().item()
        for result in (family.replaced(torch.bfloat16), own)
    ]
    assert errors[0] <= 1.25 * errors[1]


def other_pairing(rope: RotaryEmbedding) -> RotaryEmbedding:
    swap = {"half": "interleaved", "interleaved": "half"}
    rope.pairing, rope.output_pairing = swap[rope.pairing], swap[rope.output_pairing]
    return rope


def twice_the_base(rope: RotaryEmbedding) -> RotaryEmbedding:
    rope.base *= 2
    return rope


def other_direction(rope: RotaryEmbedding) -> RotaryEmbedding:
    rope.clockwise = not rope.clockwise
    return rope


@pytest.mark.parametrize("change", [other_pairing, twice_the_base, other_direction])
def test_a_wrong_rotation_would_be_seen(family, change):
    own, _ = family.own(torch.float32)
    assert distance(family.replaced(torch.float32, change), own) > 1000 * TOLERANCE


def test_every_kind_of_family_has_a_model_here():
    """But for ChatGLM, never in transformers, and towers that differ in their axes alone."""
    kinds = set()
    for case in CASES:
        kinds.add(MODELS[case.config(case.build()).model_type].family)
    left = {model.family.name for model in MODELS.values()} - {family.name for family in kinds}
    assert left <= LEFT_OUT, left - LEFT_OUT


# Text goes in a piece at a time, or beside padding.

CACHED = tuple(
    case for case in CASES if case.name in ("LLaMA 3", "GPT-NeoX", "Gemma 3", "DeepSeek-V3")
)


@pytest.mark.parametrize("case", CACHED, ids=lambda case: case.name)
def test_a_cache_filled_token_by_token_gives_what_the_whole_text_gives(case):
    """Rows that begin at different positions; first seven tokens at once, then one by one."""
    family = Family(case)
    model, inputs = family.models[torch.float32], family.inputs
    whole, _ = family.own(torch.float32)
    pieces, cache = [slice(0, 7), *(slice(at, at + 1) for at in range(7, 12))], None
    results = []
    with Intercepted(case, model, family.answer(torch.float32)) as taken:
        for piece in pieces:
            output = model(
                input_ids=inputs["input_ids"][:, piece],
                position_ids=inputs["position_ids"][:, piece],
                attention_mask=inputs["attention_mask"][:, : piece.stop],
                past_key_values=cache,
                use_cache=True,
            )
            cache = output.past_key_values
            results.append(output.logits)
    assert len(taken.turns) == case.turns * len(pieces)
    assert distance(torch.cat(results, dim=1), whole) <= TOLERANCE


@pytest.mark.parametrize("case", CACHED, ids=lambda case: case.name)
def test_a_padded_batch_gives_each_row_what_it_gives_alone(case):
    """unsloth#3699. Alone, a row is turned by the model's own code."""
    family = Family(case)
    model, ids = family.models[torch.float32], family.inputs["input_ids"]
    mask = torch.ones_like(ids)
    mask[0, :5] = 0
    with Intercepted(case, model, family.answer(torch.float32)) as taken:
        together = model(
            input_ids=ids, attention_mask=mask, position_ids=left_padded_positions(mask)
        ).logits
    assert len(taken.turns) == case.turns
    for row, start in ((0, 5), (1, 0)):
        alone = model(input_ids=ids[row : row + 1, start:]).logits
        assert distance(together[row, start:], alone[0]) <= TOLERANCE
