"""The specification itself: small enough to check by hand, and by what a rotation must be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rope_lib.course import reference

pairings = st.sampled_from(["interleaved", "half"])


def test_a_matrix_written_out():
    c, s, slow_c, slow_s = math.cos(2), math.sin(2), math.cos(0.02), math.sin(0.02)
    np.testing.assert_allclose(
        reference.rotation_matrix(2, 4, pairing="interleaved"),
        [[c, -s, 0, 0], [s, c, 0, 0], [0, 0, slow_c, -slow_s], [0, 0, slow_s, slow_c]],
    )
    np.testing.assert_allclose(
        reference.rotation_matrix(2, 4, pairing="half"),
        [[c, 0, -s, 0], [0, slow_c, 0, -slow_s], [s, 0, c, 0], [0, slow_s, 0, slow_c]],
    )


@given(pairs=st.integers(1, 8), pairing=pairings, m=st.integers(0, 500), n=st.integers(0, 500))
def test_the_one_identity(pairs, pairing, m, n):
    def turn(position):
        return reference.rotation_matrix(position, 2 * pairs, pairing=pairing)

    np.testing.assert_allclose(turn(m).T @ turn(n), turn(n - m), atol=1e-12)
    assert np.linalg.det(turn(m)) == pytest.approx(1)


def test_the_article_s_sentence():
    """CLAIMS 4, at theta = (1, 0.01): the unscaled score of the second and third word."""
    love, eat = [0.4, 0.1, 0.3, 0.6], [0.2, 0.5, 0.1, 0.4]
    table = reference.scores(
        np.array([love, eat]), np.array([love, eat]), np.array([2, 3]), pairing="interleaved"
    )
    assert round(table[0, 1], 3) == 0.188


def test_numbers_of_numpy_do_not_narrow_the_specification():
    """numpy 2 keeps a product with a float32 in float32."""
    narrow = reference.rotation_matrix(np.float32(12345.5), 8, np.float32(10_000), pairing="half")
    np.testing.assert_array_equal(
        narrow, reference.rotation_matrix(12345.5, 8, 10_000.0, pairing="half")
    )


def test_complex_vectors_are_refused():
    with pytest.raises(TypeError, match="x must hold real numbers"):
        reference.rotate(np.ones((2, 4)) * 1j, np.arange(2), pairing="half")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: reference.rotation_matrix(1, 3, pairing="half"), "head_dim must be even"),
        (lambda: reference.rotation_matrix(1, 0, pairing="half"), "head_dim must be even"),
        (lambda: reference.rotation_matrix(1, 4, 0.0, pairing="half"), "base must be finite"),
        (lambda: reference.rotation_matrix(1, 4, math.nan, pairing="half"), "base must be finite"),
        (lambda: reference.rotation_matrix(math.nan, 4, pairing="half"), "position must be finite"),
        (lambda: reference.rotation_matrix(1, 4, pairing="gptj"), "pairing must be .* got 'gptj'"),
        (lambda: reference.rotate(np.ones((3, 4)), np.arange(2), pairing="half"), "hold 3 numbers"),
        (lambda: reference.rotate(np.ones((1, 4)), np.array(2), pairing="half"), "hold 1 numbers"),
        (lambda: reference.rotate(np.ones(4), np.arange(4), pairing="half"), "at least 2 dim"),
    ],
)
def test_bad_calls_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
