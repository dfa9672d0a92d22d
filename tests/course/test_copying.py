"""The small model that copies from 11 tokens back."""

import pytest
import torch

from rope_lib.course import copying


@pytest.fixture(scope="module")
def model():
    return copying.trained(seed=0)


def test_three_pairs_complete_a_turn_within_the_trained_length():
    assert (~copying.SLOW).tolist() == [True] * 3 + [False] * 13


def test_it_copies_within_its_length_and_by_chance_otherwise(model):
    assert copying.accuracy(model, 32) > 0.95
    assert copying.accuracy(model, 32, lag=12) < 0.2


def test_clamping_changes_nothing_within_the_trained_length(model):
    every = torch.ones(16, dtype=torch.bool)
    with torch.no_grad():
        tokens = copying.texts(4, 32, seed=1)
        plain = model(tokens)
    assert copying.accuracy(model, 32, clamped=every) == copying.accuracy(model, 32)
    with torch.no_grad():  # and the model is as it was
        assert torch.equal(model(tokens), plain)


def test_clamping_no_pair_is_the_model_itself(model):
    nothing = torch.zeros(16, dtype=torch.bool)
    assert copying.accuracy(model, 128, clamped=nothing) == copying.accuracy(model, 128)


def test_the_mean_logit_peaks_where_it_was_trained_to(model):
    logits = copying.mean_logits(model, 0)
    assert logits.shape == (512,)
    assert int(logits[:32].argmax()) == copying.LAG


def test_far_keys_harm_where_they_count_as_the_distance_that_is_copied(model):
    right, wrong = (
        copying.accuracy(model, 512, clamped=~copying.SLOW, counts_as=n) for n in (5, copying.LAG)
    )
    assert right > 0.9
    assert wrong < 0.5
