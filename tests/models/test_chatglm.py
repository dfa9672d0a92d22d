"""ChatGLM, which transformers never held, against a specification written out here.

ChatGLM-6B gives every token two positions, the "2D positional encoding" of GLM (arXiv 2103.10360):
where it stands in the corrupted text, and where inside the blank that it fills. Its released code
(``modeling_chatglm.py`` of THUDM/chatglm-6b) turns the first half of a head by the one and the
second half by the other, each half-split in itself. ChatGLM2 and 3 have one position; they turn
the first half of a head, in interleaved pairs, and let the other half be.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rope_lib import RotaryEmbedding, axes
from rope_lib.models import sharing

# What counts in the published config.json of each, made smaller.
CHATGLM_6B = {
    "model_type": "chatglm",
    "hidden_size": 32,
    "num_attention_heads": 2,
    "max_sequence_length": 2048,
    "position_encoding_2d": True,
}
CHATGLM_3 = {
    "model_type": "chatglm",
    "hidden_size": 32,
    "num_attention_heads": 2,
    "kv_channels": 16,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "original_rope": True,
    "seq_length": 8192,
}


def two_streams(context: int, blank: int, generated: int) -> torch.Tensor:
    """Positions of a prompt of ``context`` tokens with one blank, and of what is put into it.

    In the text, whatever fills the blank stands where the blank is. In the blank, the prompt has
    no place (0), and what fills it is counted from 1.
    """
    in_text = [*range(context), *[blank] * generated]
    in_blank = [*[0] * context, *range(1, generated + 1)]
    return torch.tensor([in_text, in_blank])


def turned_by_hand(vector: np.ndarray, pairs: list[tuple[int, int]], angles: list[float]):
    """Every pair multiplied by a 2 x 2 matrix of its own."""
    result = vector.copy()
    for (first, second), angle in zip(pairs, angles, strict=True):
        matrix = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        result[[first, second]] = matrix @ vector[[first, second]]
    return result


def chatglm_6b_by_hand(vector: np.ndarray, in_text: int, in_blank: int) -> np.ndarray:
    """Two slices of ``width`` numbers, the pairs (i, i + width/2) in each."""
    width = len(vector) // 2
    pairs, angles = [], []
    for start, position in ((0, in_text), (width, in_blank)):
        for i in range(width // 2):
            pairs.append((start + i, start + i + width // 2))
            angles.append(position / 10_000 ** (2 * i / width))
    return turned_by_hand(vector, pairs, angles)


def chatglm_3_by_hand(vector: np.ndarray, position: int) -> np.ndarray:
    """The pairs (2i, 2i + 1) of the first half of the head."""
    width = len(vector) // 2
    pairs = [(2 * i, 2 * i + 1) for i in range(width // 2)]
    angles = [position / 10_000 ** (2 * i / width) for i in range(width // 2)]
    return turned_by_hand(vector, pairs, angles)


def heads(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chatglm_6b(head_dim):
    """The value that is ChatGLM-6B."""
    return RotaryEmbedding(head_dim, pairing="half", axes=axes.axial(head_dim, blocks=True))


@given(
    quarter=st.integers(1, 4),
    context=st.integers(1, 6),
    generated=st.integers(0, 6),
    data=st.data(),
)
def test_chatglm_6b_turns_each_half_of_a_head_by_a_position_of_its_own(
    quarter, context, generated, data
):
    head_dim, blank = 4 * quarter, data.draw(st.integers(0, context - 1))
    positions = two_streams(context, blank, generated)
    q, k = heads(2, 1, 2, context + generated, head_dim, seed=context)
    for ours, x in zip(chatglm_6b(head_dim)(q, k, positions), (q, k), strict=True):
        for head in range(2):
            for token, (in_text, in_blank) in enumerate(positions.T.tolist()):
                expected = chatglm_6b_by_hand(x[0, head, token].numpy(), in_text, in_blank)
                np.testing.assert_allclose(
                    ours[0, head, token].numpy(), expected, rtol=0, atol=1e-12
                )


def test_chatglm_6b_is_read_from_its_configuration():
    q, k = heads(2, 3, 2, 9, 16)  # three texts of their own lengths
    positions = torch.stack([two_streams(5, 4, 4), two_streams(7, 2, 2), two_streams(1, 0, 8)], 1)
    read = RotaryEmbedding.from_config(CHATGLM_6B)
    assert repr(read) == repr(chatglm_6b(16))
    for ours, x in zip(read(q, k, positions[:, :, None]), (q, k), strict=True):
        for text in range(3):
            for token, (in_text, in_blank) in enumerate(positions[:, text].T.tolist()):
                expected = chatglm_6b_by_hand(x[text, 1, token].numpy(), in_text, in_blank)
                np.testing.assert_allclose(ours[text, 1, token].numpy(), expected, atol=1e-12)


def test_chatglm_6b_has_the_width_of_its_release():
    published = CHATGLM_6B | {"hidden_size": 4096, "num_attention_heads": 32}
    rope = RotaryEmbedding.from_config(published)
    assert (rope.head_dim, rope.rotary_dim) == (128, 128)
    cos, _ = rope.tables(torch.tensor([[1], [0]]), torch.float64)
    expected = [math.cos(10_000 ** (-2 * i / 64)) for i in range(32)] + [1.0] * 32
    np.testing.assert_allclose(cos[0].numpy(), expected, atol=1e-15)


def test_only_the_second_stream_orders_what_is_generated():
    rope, positions = chatglm_6b(16), two_streams(4, 3, 3)
    q, k = heads(2, 1, 7, 16)
    turned, _ = rope(q, k, positions)
    assert torch.equal(turned[0, :4, 8:], q[0, :4, 8:])  # the prompt has no place in the blank
    same = q.clone()
    same[:] = q[:, :1]
    turned, _ = rope(same, k, positions)
    assert torch.equal(turned[0, 4, :8], turned[0, 6, :8])
    assert not torch.allclose(turned[0, 4, 8:], turned[0, 6, 8:])


@given(in_text=st.integers(0, 1000), in_blank=st.integers(0, 1000), seed=st.integers(0, 99))
def test_scores_depend_on_two_distances(in_text, in_blank, seed):
    """Both streams moved by amounts of their own leave every score as it is."""
    rope, positions = chatglm_6b(16), two_streams(4, 2, 3)
    q, k = heads(2, 1, 7, 16, seed=seed)
    moved = positions + torch.tensor([[in_text], [in_blank]])
    scores = [a @ b.transpose(-1, -2) for a, b in (rope(q, k, positions), rope(q, k, moved))]
    torch.testing.assert_close(*scores, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        RotaryEmbedding(16, pairing="interleaved", axes=axes.axial(16, blocks=True)),
        RotaryEmbedding(16, pairing="half", axes=axes.axial(16)),
        RotaryEmbedding(16, pairing="half", axes=sharing.alternating(16)),
    ],
    ids=["pairing", "no blocks", "one ladder"],
)
def test_what_is_like_chatglm_6b_is_not_it(wrong):
    q, k = heads(2, 1, 7, 16)
    positions = two_streams(4, 3, 3)
    assert (wrong(q, k, positions)[0] - chatglm_6b(16)(q, k, positions)[0]).abs().max() > 0.1


@pytest.mark.parametrize("more", [{}, {"rope_ratio": 1}])
def test_chatglm_3_turns_half_of_each_head_in_interleaved_pairs(more):
    rope = RotaryEmbedding.from_config(CHATGLM_3 | more)
    q, k = heads(2, 2, 2, 5, 16)
    positions = torch.tensor([0, 1, 7, 100, 4000])
    for ours, x in zip(rope(q, k, positions), (q, k), strict=True):
        for text in range(2):
            for head in range(2):
                for token, position in enumerate(positions.tolist()):
                    expected = chatglm_3_by_hand(x[text, head, token].numpy(), position)
                    np.testing.assert_allclose(
                        ours[text, head, token].numpy(), expected, rtol=0, atol=1e-11
                    )


def test_a_rope_ratio_that_could_mean_two_things_is_refused():
    """ChatGLM2-6B-32k divides positions by it; ChatGLM3-6B-32k and GLM-4 multiply the base."""
    with pytest.raises(ValueError, match="rope_ratio must be 1 or 50"):
        RotaryEmbedding.from_config(CHATGLM_3 | {"rope_ratio": 16})
    with pytest.warns(UserWarning, match="as in ChatGLM3-32k"):
        assert RotaryEmbedding.from_config(CHATGLM_3 | {"rope_ratio": 50}).base == 500_000
    glm_4 = CHATGLM_3 | {"padded_vocab_size": 151_552, "rope_ratio": 10_000}
    assert RotaryEmbedding.from_config(glm_4).base == 1e8


@pytest.mark.parametrize("config", [CHATGLM_6B, CHATGLM_3], ids=["ChatGLM-6B", "ChatGLM3"])
def test_the_rounding_of_the_release_is_not_promised(config):
    """ChatGLM-6B and ChatGLM2 form their very angles in 16 bits: at position 1000, in half radians.

    Exact tables are what the definition says; the released bits are not to be had.
    """
    with pytest.raises(ValueError, match="shipped"):
        RotaryEmbedding.from_config(config, shipped=True)
