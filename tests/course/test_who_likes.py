"""The task *A likes B ?* and the small models that learn it."""

import pytest
import torch

from rope_lib import RotaryEmbedding
from rope_lib.course.who_likes import ASK, LIKES, NAMES, Reader, accuracy, sentences, train

TRAIN, HELD_OUT = sentences()
SWAPPED = TRAIN[:, [2, 1, 0, 3]]


def fresh(**choices):
    torch.manual_seed(0)
    return Reader(**choices).double()


def test_every_pair_of_names_comes_once_in_each_order_and_none_is_in_both_sets():
    rows = [tuple(row) for row in torch.cat((TRAIN, HELD_OUT)).tolist()]
    assert len(TRAIN) == 42
    assert sorted(rows) == [
        (one, LIKES, other, ASK) for one in range(8) for other in range(8) if one != other
    ]
    pairs = [{frozenset(row[0::2]) for row in data.tolist()} for data in (TRAIN, HELD_OUT)]
    assert not pairs[0] & pairs[1]
    assert len(NAMES) == len(set(NAMES)) == 8


@pytest.mark.parametrize(
    ("choices", "sees"),
    [
        ({}, False),
        ({"layers": 2}, False),
        ({"causal": True}, False),
        ({"causal": True, "layers": 2}, True),
        ({"encoding": RotaryEmbedding(16, pairing="half")}, True),
    ],
)
def test_which_readers_give_the_two_orders_different_answers(choices, sees):
    model = fresh(**choices)
    assert torch.allclose(model(TRAIN), model(SWAPPED)) != sees


def test_the_encoding_gets_the_positions():
    model = fresh(encoding=RotaryEmbedding(16, pairing="half"))
    raised = model(TRAIN, torch.arange(100, 104))
    assert torch.allclose(model(TRAIN), raised)
    assert not torch.allclose(model(TRAIN), model(TRAIN, torch.tensor([2, 1, 0, 3])))


def test_training_lowers_the_loss_and_a_seed_gives_the_same_run():
    model, losses = train(1, steps=60, encoding=RotaryEmbedding(16, pairing="half"))
    _, again = train(1, steps=60, encoding=RotaryEmbedding(16, pairing="half"))
    assert losses == again
    assert losses[-1] < 0.5 < losses[0]
    assert accuracy(model, TRAIN) > 0.9


def test_accuracy_counts_the_first_names():
    def first_name(tokens):
        return torch.nn.functional.one_hot(tokens[:, 0], 8)

    assert accuracy(first_name, TRAIN) == 1
    assert accuracy(lambda tokens: first_name(tokens[:, [2, 1, 0, 3]]), TRAIN) == 0


@pytest.mark.parametrize("name", ["layers", "width"])
def test_a_wrong_argument_is_named(name):
    with pytest.raises(ValueError, match=f"^{name}"):
        Reader(**{name: 0})
