"""The rivals, held to their papers and to the code of models that use them.

Parity is with transformers 5.23.0; each test names the model.
"""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import BloomConfig, BloomModel, GPT2Config, GPT2Model, T5Config, T5EncoderModel
from transformers.models.bloom.modeling_bloom import build_alibi_tensor
from transformers.models.distilbert.modeling_distilbert import create_sinusoidal_embeddings
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor
from transformers.models.t5.modeling_t5 import T5Attention

from rope_lib.course.attention import attention, attention_weights
from rope_lib.course.encodings import ALiBi, Encoding, Learned, NoPosition, Sinusoidal, T5Bias


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rivals(heads=2, width=8):
    torch.manual_seed(0)
    return [
        NoPosition(),
        Sinusoidal(width),
        Learned(200, width).double(),
        T5Bias(heads, bidirectional=True).double(),
        ALiBi(heads),
    ]


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("encoding", rivals(), ids=lambda one: type(one).__name__)
def test_every_rival_answers_the_protocol(encoding):
    assert isinstance(encoding, Encoding)
    q, k = random(2, 3, 2, 5, 8)
    positions = torch.arange(5) + 3
    for one, turned in zip((q, k), encoding(q, k, positions), strict=True):
        assert turned.shape == one.shape
        assert turned.dtype == one.dtype
    bias = encoding.bias(positions[-2:], positions)
    assert bias is None or bias.shape == (2, 2, 5)


@pytest.mark.parametrize("encoding", rivals(), ids=lambda one: type(one).__name__)
def test_which_scores_stay_when_everything_moves_by_100(encoding):
    """Relative or absolute: the question of chapter 2."""
    q, k = random(2, 2, 5, 8)

    def weights(first):
        positions = torch.arange(5) + first
        turned = encoding(q, k, positions)
        return attention_weights(*turned, bias=encoding.bias(positions, positions))

    relative = not hasattr(encoding, "vectors")
    assert torch.allclose(weights(0), weights(100)) == relative


@pytest.mark.parametrize("encoding", rivals(), ids=lambda one: type(one).__name__)
def test_rows_with_positions_of_their_own_equal_the_separate_rows(encoding):
    q, k, v = random(3, 2, 2, 5, 8)
    positions = torch.stack((torch.arange(5), torch.arange(5) * 3 + 7))[:, None, :]
    both = attention(q, k, v, encoding=encoding, positions=positions, causal=True)
    for row in range(2):
        alone = attention(
            q[row], k[row], v[row], encoding=encoding, positions=positions[row, 0], causal=True
        )
        torch.testing.assert_close(both[row], alone)


@pytest.mark.parametrize("encoding", rivals(), ids=lambda one: type(one).__name__)
def test_copies_and_half_precision_and_other_devices(encoding):
    low = copy.deepcopy(encoding).to(torch.bfloat16)
    q, k, v = random(3, 2, 5, 8).to(torch.bfloat16)
    positions = torch.arange(5) + 100
    exact = attention(*(x.double() for x in (q, k, v)), encoding=encoding, positions=positions)
    rounded = attention(q, k, v, encoding=low, positions=positions)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.double(), exact, atol=0.05, rtol=0.05)
    meta = copy.deepcopy(encoding).to("meta")
    out = attention(*(x.to("meta") for x in (q, k, v)), encoding=meta, causal=True)
    assert out.device.type == "meta"


def test_the_base_class_and_no_position_change_nothing():
    q, k = random(2, 2, 5, 8)
    for encoding in (Encoding(), NoPosition()):
        assert all(one is two for one, two in zip(encoding(q, k, None), (q, k), strict=True))
        assert encoding.bias(torch.arange(5), torch.arange(5)) is None


def test_parameters_are_what_the_papers_count():
    counts = [sum(p.numel() for p in rival.parameters()) for rival in rivals()]
    assert counts == [0, 0, 200 * 8, 32 * 2, 0]
    assert [list(rival.state_dict()) for rival in rivals()] == [
        [], [], ["table.weight"], ["table.weight"], [],
    ]  # fmt: skip


# ---------------------------------------------------------------- sinusoidal


@given(st.integers(0, 10**6), st.integers(1, 64), st.floats(2, 1e6))
def test_sinusoidal_is_the_formula_of_the_paper(position, pairs, base):
    """arXiv 1706.03762, section 3.5, one number at a time."""
    vector = Sinusoidal(2 * pairs, base).vectors(torch.tensor([position]), torch.float64)[0]
    for i in range(pairs):
        angle = position / base ** (2 * i / (2 * pairs))
        expected = torch.tensor([math.sin(angle), math.cos(angle)], dtype=torch.float64)
        torch.testing.assert_close(vector[2 * i : 2 * i + 2], expected, atol=1e-8, rtol=0)


def test_sinusoidal_equals_distilbert():
    """DistilBERT (transformers 5.23.0) keeps sines and cosines side by side, as the paper does."""
    theirs = create_sinusoidal_embeddings(300, 24, torch.empty(300, 24))
    torch.testing.assert_close(Sinusoidal(24).vectors(torch.arange(300)), theirs)


def test_marian_holds_the_same_numbers_in_another_order():
    """Marian (transformers 5.23.0): all sines, then all cosines."""
    theirs = MarianSinusoidalPositionalEmbedding(300, 24)
    theirs.weight = torch.nn.Parameter(theirs.create_weight(), requires_grad=False)
    ours = Sinusoidal(24).vectors(torch.arange(300))
    torch.testing.assert_close(torch.cat((ours[:, 0::2], ours[:, 1::2]), dim=1), theirs.weight)
    assert not torch.allclose(ours, theirs.weight)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000))
def test_two_labels_meet_in_a_dot_product_of_the_distance(m, n):
    labels = Sinusoidal(16).vectors(torch.tensor([m, n, m - n, 0]), torch.float64)
    torch.testing.assert_close(labels[0] @ labels[1], labels[2] @ labels[3])


def test_labels_are_added_in_the_dtype_of_the_query_and_rounded_once():
    q, k = random(2, 3, 5, 8)
    positions = torch.arange(5) + 1000
    exact = q + Sinusoidal(8).vectors(positions, torch.float64)
    assert torch.equal(Sinusoidal(8)(q, k, positions)[0], exact)
    low = q.to(torch.bfloat16)
    expected = (low.float() + Sinusoidal(8).vectors(positions)).to(torch.bfloat16)
    assert torch.equal(Sinusoidal(8)(low, k, positions)[0], expected)


# ---------------------------------------------------------------- learned


def test_learned_is_an_embedding():
    learned = Learned(20, 6)
    positions = torch.tensor([[0, 19], [7, 7]])
    assert torch.equal(learned.vectors(positions), learned.table.weight[positions])
    for dtype in (torch.uint8, torch.int16, torch.int32):
        assert torch.equal(learned.vectors(positions.to(dtype)), learned.vectors(positions))
    q, k = random(2, 3, 2, 6).float()
    turned = learned(q, k, torch.tensor([3, 19]))
    assert torch.equal(turned[0], q + learned.table.weight[[3, 19]])
    assert torch.equal(turned[1], k + learned.table.weight[[3, 19]])


def test_learned_equals_gpt2():
    """What GPT-2 (transformers 5.23.0) adds to its token embeddings, offset included."""
    torch.manual_seed(0)
    model = GPT2Model(GPT2Config(vocab_size=11, n_positions=16, n_embd=8, n_layer=1, n_head=2))
    learned = Learned(16, 8)
    learned.table.load_state_dict(model.wpe.state_dict())
    tokens, positions = torch.tensor([[3, 1, 4, 1]]), torch.arange(4) + 9
    seen = []
    model.h[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model.eval()(tokens, position_ids=positions[None])
    torch.testing.assert_close(model.wte(tokens) + learned.vectors(positions), seen[0])


@pytest.mark.parametrize("bad", [[0, 20], [-1, 3]])
def test_learned_names_the_largest_position_it_has(bad):
    with pytest.raises(ValueError, match=r"positions must lie between 0 and 19, .* got"):
        Learned(20, 6).vectors(torch.tensor(bad))
    q, k, v = random(3, 2, 2, 6).float()
    with pytest.raises(ValueError, match="0 and 19"):
        attention(q, k, v, encoding=Learned(20, 6), positions=torch.tensor(bad))


# ---------------------------------------------------------------- T5


@given(
    st.booleans(),
    st.integers(4, 64),
    st.integers(33, 400),
    st.lists(st.integers(-(10**6), 10**6), min_size=1),
)
def test_buckets_equal_t5(bidirectional, buckets, max_distance, far):
    """transformers 5.23.0, T5Attention._relative_position_bucket; every near distance, some far."""
    distance = torch.tensor([*range(-300, 301), *far])
    theirs = T5Attention._relative_position_bucket(
        distance, bidirectional=bidirectional, num_buckets=buckets, max_distance=max_distance
    )
    ours = T5Bias(1, bidirectional=bidirectional, buckets=buckets, max_distance=max_distance)
    assert torch.equal(ours.bucket(distance), theirs)


def tiny_t5(**changed):
    torch.manual_seed(0)
    shape = dict(
        vocab_size=13, d_model=16, d_kv=4, num_heads=3, d_ff=8, num_layers=1,
        relative_attention_num_buckets=8, relative_attention_max_distance=20,
    )  # fmt: skip
    return T5Config(**shape | changed)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_bias_equals_t5(bidirectional):
    """transformers 5.23.0, T5Attention.compute_bias, the step of a cached decoder included."""
    config = tiny_t5(is_decoder=not bidirectional)
    theirs = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    ours = T5Bias(3, bidirectional=bidirectional, buckets=8, max_distance=20)
    ours.table.load_state_dict(theirs.relative_attention_bias.state_dict())
    positions = torch.arange(50)
    torch.testing.assert_close(ours.bias(positions, positions), theirs.compute_bias(50, 50)[0])
    step = theirs.compute_bias(1, 50, past_seen_tokens=49)[0]
    torch.testing.assert_close(ours.bias(positions[-1:], positions), step)


def test_attention_equals_a_t5_encoder():
    """T5EncoderModel (transformers 5.23.0), padded batch. T5 does not divide by sqrt(head_dim)."""
    model = T5EncoderModel(tiny_t5()).eval().double()
    layer = model.encoder.block[0].layer[0]
    bias = T5Bias(3, bidirectional=True, buckets=8, max_distance=20).double()
    bias.table.load_state_dict(layer.SelfAttention.relative_attention_bias.state_dict())
    theirs, mask = {}, torch.ones(2, 30, dtype=torch.bool)
    mask[1, 20:] = False
    layer.register_forward_hook(lambda _, x, y: theirs.update(x=x[0], y=y[0]))
    model(torch.randint(13, (2, 30)), attention_mask=mask.long())

    x, t5 = layer.layer_norm(theirs["x"]), layer.SelfAttention
    q, k, v = (f(x).unflatten(-1, (3, 4)).transpose(1, 2) for f in (t5.q, t5.k, t5.v))
    mixed = attention(q * math.sqrt(4), k, v, encoding=bias, mask=mask[:, None, None, :])
    ours = theirs["x"] + t5.o(mixed.transpose(1, 2).flatten(2))
    torch.testing.assert_close(ours, theirs["y"])


# ---------------------------------------------------------------- ALiBi


def slopes_of_the_paper(heads):
    """The definition: a power of two by a geometric series, others by taking turns."""
    if math.log2(heads).is_integer():
        return [2 ** (-8 / heads * i) for i in range(1, heads + 1)]
    lower = 2 ** int(math.log2(heads))
    return slopes_of_the_paper(lower) + slopes_of_the_paper(2 * lower)[0::2][: heads - lower]


@pytest.mark.parametrize("heads", range(1, 130))
def test_slopes_are_those_of_the_paper(heads):
    assert ALiBi(heads).slopes() == pytest.approx(slopes_of_the_paper(heads), rel=1e-12)


@pytest.mark.parametrize("heads", [1, 2, 3, 5, 8, 12, 25, 112])
def test_alibi_equals_bloom_and_mpt_up_to_a_number_for_each_row(heads):
    """transformers 5.23.0. Both add slope * key position; softmax ignores what a row shares."""
    positions = torch.arange(40)
    past = torch.ones(40, 40).tril().bool()
    ours = attention_weights(
        torch.zeros(heads, 40, 1), torch.zeros(heads, 40, 1),
        bias=ALiBi(heads).bias(positions, positions), causal=True,
    )  # fmt: skip
    bloom = build_alibi_tensor(torch.ones(1, 40), heads, torch.float32)
    for theirs in (bloom, build_mpt_alibi_tensor(heads, 40)):
        scores = theirs.expand(heads, 40, 40).masked_fill(~past, -math.inf)
        torch.testing.assert_close(ours, scores.softmax(-1))


def test_alibi_without_a_mask_is_symmetric_and_counts_positions_not_rows():
    bias = ALiBi(4).bias(torch.tensor([5, 1]), torch.tensor([1, 5, 3]))
    expected = torch.tensor([[4.0, 0.0, 2.0], [0.0, 4.0, 2.0]])
    for head, slope in enumerate((1 / 4, 1 / 16, 1 / 64, 1 / 256)):
        assert torch.equal(bias[head], -slope * expected)


def test_unsigned_positions_are_subtracted_with_their_sign():
    positions = torch.arange(6, dtype=torch.uint8)
    for encoding in (ALiBi(2), T5Bias(2, bidirectional=True)):
        signed = encoding.bias(positions.long(), positions.long())
        assert torch.equal(encoding.bias(positions, positions), signed)


@pytest.mark.parametrize("heads", [4, 6])
def test_attention_equals_a_bloom_layer_with_left_padding(heads):
    """BloomModel (transformers 5.23.0); Bloom counts positions from the first real token."""
    torch.manual_seed(0)
    config = BloomConfig(vocab_size=13, hidden_size=24, n_layer=1, n_head=heads, use_cache=False)
    model = BloomModel(config).eval().double()
    layer, seen = model.h[0].self_attention, {}
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, :3] = False
    layer.register_forward_hook(
        lambda _, x, kw, y: seen.update(x=x[0], residual=x[1], y=y[0]), with_kwargs=True
    )
    model(torch.randint(13, (2, 9)), attention_mask=mask.long())

    q, k, v = layer._reshape(layer.query_key_value(seen["x"]))
    positions = ((mask.cumsum(-1) - 1) * mask)[:, None, :]
    ours = attention(
        q, k, v, encoding=ALiBi(heads), positions=positions, mask=mask[:, None, None], causal=True
    )
    ours = seen["residual"] + layer.dense(ours.transpose(1, 2).flatten(2))
    torch.testing.assert_close(ours[mask], seen["y"][mask])


# ---------------------------------------------------------------- bad calls


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Sinusoidal(7), ValueError, "width must be even"),
        (lambda: Sinusoidal(8, base=0), ValueError, "base must be finite and greater than 0"),
        (lambda: Learned(0, 8), ValueError, "max_positions must be at least 1"),
        (lambda: Learned(8, 2.5), TypeError, "width must be an integer"),
        (lambda: ALiBi(0), ValueError, "heads must be at least 1"),
        (lambda: ALiBi(True), TypeError, "heads must be an integer"),
        (lambda: T5Bias(0, bidirectional=True), ValueError, "heads must be at least 1"),
        (lambda: T5Bias(2, bidirectional=1), TypeError, "bidirectional must be bool"),
        (lambda: T5Bias(2, bidirectional=True, buckets=3), ValueError, "at least 4, got 3"),
        (lambda: T5Bias(2, bidirectional=False, buckets=1), ValueError, "at least 2, got 1"),
        (
            lambda: T5Bias(2, bidirectional=False, buckets=32, max_distance=16),
            ValueError,
            "max_distance must be above 16",
        ),
    ],
)
def test_bad_sizes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


FOUR = torch.arange(4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Sinusoidal(8).vectors([1]), TypeError, "positions must be a torch.Tensor"),
        (lambda: Sinusoidal(8)(*random(2, 4, 6), FOUR), ValueError, "q must have width = 8"),
        (
            lambda: Sinusoidal(8)(random(4, 8), random(4, 6), FOUR),
            ValueError,
            "k must have width = 8",
        ),
        (lambda: Sinusoidal(8)(*random(2, 3, 8), FOUR), ValueError, r"shape \(3,\).*got \(4,\)"),
        (
            lambda: Learned(9, 8)(*random(2, 3, 5, 4, 8), FOUR.expand(5, 4)),
            ValueError,
            r"positions must have shape \(4,\), \(batch, 4\)",
        ),
        (lambda: Learned(9, 8).vectors(FOUR / 2), TypeError, "positions must be integers"),
        (
            lambda: Learned(9, 8)(*random(2, 4, 8), FOUR.to("meta")),
            ValueError,
            "positions is on meta but q on cpu",
        ),
        (
            lambda: T5Bias(1, bidirectional=True).bias(FOUR, FOUR / 2),
            TypeError,
            "positions_k must be integers",
        ),
        (
            lambda: T5Bias(1, bidirectional=True).bias(FOUR / 2, FOUR),
            TypeError,
            "positions_q must be integers",
        ),
        (
            lambda: T5Bias(1, bidirectional=True).bucket(FOUR / 2),
            TypeError,
            "distance must be integers",
        ),
        (lambda: ALiBi(1).bias(FOUR.expand(2, 4), FOUR), ValueError, "positions_q must have shape"),
        (lambda: ALiBi(1).bias(FOUR, FOUR[0]), ValueError, "positions_k must have shape"),
        (
            lambda: ALiBi(1).bias(FOUR, FOUR.expand(2, 1, 4)),
            ValueError,
            "must agree before their last dimension",
        ),
        (lambda: ALiBi(1).bias(FOUR, FOUR.to("meta")), ValueError, "positions_q is on cpu but"),
        (lambda: ALiBi(1).bias(FOUR * math.nan, FOUR), ValueError, "positions_q must be finite"),
    ],
)
def test_bad_calls_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_narrow_integers_fall_into_the_same_buckets(dtype, bidirectional):
    encoding = T5Bias(2, bidirectional=bidirectional)
    distance = torch.tensor([0, 3, 127] if dtype == torch.uint8 else [-128, -3, 0, 3, 127])
    assert torch.equal(encoding.bucket(distance.to(dtype)), encoding.bucket(distance))


def test_labels_are_floats():
    with pytest.raises(TypeError, match=r"dtype must be float16 or .*, got torch.int64"):
        Learned(4, 8).vectors(torch.arange(3), torch.int64)


def test_positions_of_a_batch_are_the_same_for_all_heads():
    x, ids = random(1, 3, 5, 4, 8)[0], torch.stack((FOUR, FOUR + 2, FOUR + 1))
    added, _ = Sinusoidal(8)(x, x, ids)
    assert torch.equal(added, Sinusoidal(8)(x, x, ids[:, None])[0])
