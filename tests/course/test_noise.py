"""What a page prints of a difference that ought to be rounding."""

import math

import pytest
import torch

from rope_lib.course.noise import below


@pytest.mark.parametrize(
    ("difference", "bound", "printed"),
    [
        (0.0, 1e-12, "below 1e-12"),
        (-3e-13, 1e-12, "below 1e-12"),
        (1e-12, 1e-12, "1e-12"),
        (-0.25, 1e-12, "0.25"),
        (2e-7, 1e-6, "below 1e-06"),
        (torch.tensor([1e-15, -0.5]), 1e-12, "0.5"),
        (math.nan, 1e-12, "nan"),
        (math.inf, 1e-12, "inf"),
    ],
)
def test_rounding_is_called_so_and_the_rest_is_shown(difference, bound, printed):
    assert below(difference, bound) == printed


def test_a_bound_of_nothing_is_refused():
    with pytest.raises(ValueError, match="bound"):
        below(0.1, 0.0)
