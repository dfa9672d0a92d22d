"""Two small tasks and the layer that learns them."""

import pytest
import torch

from rope_lib.course.encodings import Learned, NoPosition, Sinusoidal
from rope_lib.course.recall import KINDS, NOTHING, OneLayer, back, latest, share_right, train


def drawn(task, texts=5, length=40, seed=3):
    return task(texts, length, torch.Generator().manual_seed(seed))


def test_back_asks_for_the_token_three_positions_earlier():
    tokens, answers = drawn(back)
    for text, wanted in zip(tokens[..., 0].tolist(), answers.tolist(), strict=True):
        assert wanted == [NOTHING] * 3 + text[:-3]


def test_latest_asks_for_what_was_stored_last():
    tokens, answers = drawn(latest)
    asked = 0
    for text, wanted in zip(tokens.tolist(), answers.tolist(), strict=True):
        store = {}
        for (key, what), answer in zip(text, wanted, strict=True):
            if what == 12:
                assert answer == store.get(key, NOTHING)
                asked += answer != NOTHING
            else:
                assert answer == NOTHING
                store[key] = what - 4
    assert asked > 50


@pytest.mark.parametrize("task", KINDS)
def test_tokens_and_answers_are_of_the_kinds_that_the_layer_has(task):
    tokens, answers = drawn(task, texts=50)
    kinds, wanted = KINDS[task]
    assert tokens.min() >= 0
    assert tokens.max() == kinds - 1
    assert answers[answers != NOTHING].unique().tolist() == list(range(wanted))


def test_a_label_is_added_to_the_tokens_and_a_later_token_changes_nothing():
    torch.manual_seed(0)
    model, plain = OneLayer(back, Sinusoidal(32)), OneLayer(back, NoPosition())
    plain.load_state_dict(model.state_dict())
    tokens, _ = drawn(back)
    logits = model(tokens)
    assert logits.shape == (5, 40, 16)
    assert not torch.allclose(logits, plain(tokens))
    assert torch.allclose(model(tokens[:, :20]), logits[:, :20], atol=1e-5)


def test_a_table_that_has_ended_cannot_run():
    model = OneLayer(back, Learned(32, 32))
    assert share_right(model, back, 64) is None
    assert 0 <= share_right(model, back, 32) <= 1


def test_the_share_is_that_of_the_second_half():
    class Half(torch.nn.Module):
        """Right in the second half, wrong in the first."""

        def forward(self, tokens):
            guesses = tokens[..., 0].roll(3, dims=1)
            guesses[:, : tokens.shape[1] // 2] += 1
            return torch.nn.functional.one_hot(guesses % 16, 16)

    assert share_right(Half(), back, 64) == 1.0


def test_training_is_repeatable_and_learns():
    one = train(back, Sinusoidal(32), steps=3)
    same = train(back, Sinusoidal(32), steps=3)
    assert torch.equal(one.read.weight, same.read.weight)
    before = share_right(train(back, Sinusoidal(32), steps=1), back, 32)
    assert share_right(train(back, Sinusoidal(32), steps=60), back, 32) > before + 0.1


def test_a_width_that_four_heads_cannot_share_is_refused():
    with pytest.raises(ValueError, match="width must be a multiple of 4, got 30"):
        OneLayer(back, NoPosition(), width=30)
