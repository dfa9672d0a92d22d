"""The small decoder, held to transformers' own code and to attention that is spelled out."""

import math

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM  # 5.23.0

from rope_lib import RotaryEmbedding
from rope_lib.course.attention import attention
from rope_lib.course.decoder import Decoder, causal_attention, next_token_loss
from rope_lib.course.encodings import ALiBi, Learned, NoPosition, Sinusoidal, T5Bias

WIDTH, HEADS, LAYERS = 32, 4, 2


def encodings():
    return {
        "absent": None,
        "none": NoPosition(),
        "sinusoidal": Sinusoidal(WIDTH),
        "learned": Learned(64, WIDTH),
        "t5": T5Bias(HEADS, bidirectional=False),
        "alibi": ALiBi(HEADS),
        "rope": RotaryEmbedding(WIDTH // HEADS, pairing="half"),
    }


def decoder(encoding, seed=0, **options):
    torch.manual_seed(seed)
    return Decoder(encoding, width=WIDTH, layers=LAYERS, heads=HEADS, **options)


def tokens(*shape, seed=0):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed))


def as_neox(model):
    """The same weights in transformers' GPT-NeoX, which keeps q, k and v of each head together."""
    config = GPTNeoXConfig(
        vocab_size=256, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH, rotary_pct=1.0, use_parallel_residual=False,
        attention_bias=False, hidden_act="gelu", layer_norm_eps=1e-5, attention_dropout=0.0,
        hidden_dropout=0.0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    other = GPTNeoXForCausalLM(config).eval()
    other.gpt_neox.embed_in.weight.data = model.embedding.weight.data
    other.gpt_neox.final_layer_norm.load_state_dict(model.norm.state_dict())
    other.get_output_embeddings().weight.data = model.unembedding.weight.data
    for ours, theirs in zip(model.blocks, other.gpt_neox.layers, strict=True):
        theirs.input_layernorm.load_state_dict(ours.before_attention.state_dict())
        theirs.post_attention_layernorm.load_state_dict(ours.before_network.state_dict())
        three = ours.qkv.weight.data.unflatten(0, (3, HEADS, -1))
        theirs.attention.query_key_value.weight.data = three.transpose(0, 1).flatten(0, 2)
        theirs.attention.dense.weight.data = ours.out.weight.data
        theirs.mlp.dense_h_to_4h.load_state_dict(ours.network[0].state_dict())
        theirs.mlp.dense_4h_to_h.load_state_dict(ours.network[2].state_dict())
    return other


@torch.no_grad()
def test_it_is_gpt_neox_of_transformers():
    model = decoder(encodings()["rope"])
    for parameter in model.parameters():  # large enough that attention is not flat
        parameter.add_(0.3 * torch.randn_like(parameter))
    text = tokens(3, 40)
    torch.testing.assert_close(model(text), as_neox(model)(text).logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_other_pairing_is_another_model():
    model, text = decoder(encodings()["rope"]), tokens(3, 40)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    expected = as_neox(model)(text).logits
    model.encoding = RotaryEmbedding(WIDTH // HEADS, pairing="interleaved")
    assert (model(text) - expected).abs().max() > 0.1


@pytest.mark.parametrize("name", encodings())
@torch.no_grad()
def test_nobody_looks_ahead(name):
    model, text = decoder(encodings()[name]), tokens(2, 20)
    changed = text.clone()
    changed[:, 12:] = tokens(2, 8, seed=1)
    before, after = model(text), model(changed)
    torch.testing.assert_close(before[:, :12], after[:, :12], rtol=0, atol=1e-6)
    assert (before[:, 12:] - after[:, 12:]).abs().amax(dim=(0, 2)).min() > 1e-4


@pytest.mark.parametrize("name", encodings())
def test_all_encodings_begin_with_the_same_weights(name):
    reference = dict(decoder(None).named_parameters())
    ours = dict(decoder(encodings()[name]).named_parameters())
    for key, value in reference.items():
        assert torch.equal(value, ours[key]), key
    assert all(key.startswith("encoding.") for key in ours.keys() - reference.keys())


@pytest.mark.parametrize("name", ["absent", "none", "t5", "alibi", "rope"])
@pytest.mark.parametrize("window", [None, 1, 5, 100])
def test_the_fast_attention_is_the_one_spelled_out(name, window):
    encoding = encodings()[name]
    if name == "t5":
        torch.nn.init.normal_(encoding.table.weight)
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, HEADS, 33, WIDTH // HEADS, generator=generator)
    back = torch.arange(33)[:, None] - torch.arange(33)
    mask = None if window is None else back < window
    expected = attention(q, k, v, encoding=encoding, mask=mask, causal=True)
    ours = causal_attention(q, k, v, encoding=encoding, window=window)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_it_begins_small():
    torch.manual_seed(0)
    model = Decoder(None, width=128, layers=1, heads=2, start=0.3)
    for name, parameter in model.named_parameters():
        if "norm" in name or "before" in name:
            continue
        spread = 0.3 if name == "embedding.weight" else 0.0 if name.endswith("bias") else 0.02
        assert parameter.std().item() == pytest.approx(spread, rel=0.05), name


@torch.no_grad()
def test_sixteen_bits_stay_sixteen_bits():
    for name, encoding in encodings().items():
        model = decoder(encoding).bfloat16()
        assert model(tokens(1, 9)).dtype == torch.bfloat16, name


@torch.no_grad()
def test_another_mixer_is_asked_in_every_layer():
    asked = []

    def mixer(q, k, v, *, encoding, positions):
        asked.append((q.shape, encoding, positions.tolist()))
        return v

    rope = encodings()["rope"]
    decoder(rope, mixer=mixer)(tokens(3, 7))
    assert asked == [((3, HEADS, 7, WIDTH // HEADS), rope, list(range(7)))] * LAYERS


@pytest.mark.parametrize("name", ["none", "alibi", "rope"])
@pytest.mark.parametrize("window", [None, 3])
def test_fewer_queries_than_keys_are_the_last_ones(name, window):
    encoding = encodings()[name]
    q, k, v = torch.randn(
        3, 1, HEADS, 9, WIDTH // HEADS, generator=torch.Generator().manual_seed(0)
    )
    whole = causal_attention(q, k, v, encoding=encoding, window=window)
    last = causal_attention(q[..., 7:, :], k, v, encoding=encoding, window=window)
    torch.testing.assert_close(last, whole[..., 7:, :], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="a key for each query, got 9 and 7"):
        causal_attention(q, k[..., :7, :], v[..., :7, :], encoding=encoding, window=window)


@torch.no_grad()
def test_positions_reach_the_encoding():
    """Relative encodings do not notice a shift, labels do."""
    text = tokens(2, 16)
    for name, encoding in encodings().items():
        model = decoder(encoding, start=0.5)
        near, far = model(text, torch.arange(16)), model(text, torch.arange(16) + 30)
        is_label = name in ("sinusoidal", "learned")
        assert ((near - far).abs().max() > 1e-3) == is_label, name


@torch.no_grad()
def test_labels_are_scaled():
    text, positions = tokens(1, 16), torch.arange(16)
    model = decoder(encodings()["sinusoidal"], label_scale=0.0)
    torch.testing.assert_close(model(text, positions), decoder(None)(text))


@torch.no_grad()
def test_the_loss_is_the_mean_surprise():
    model, pieces = decoder(None), tokens(3, 11)
    logarithms = model(pieces[:, :-1]).double().log_softmax(-1)
    surprise = -torch.tensor(
        [[logarithms[row, i, pieces[row, i + 1]] for i in range(10)] for row in range(3)]
    )
    assert next_token_loss(model, pieces).item() == pytest.approx(surprise.mean().item(), rel=1e-5)
    last = next_token_loss(model, pieces, last=4).item()
    assert last == pytest.approx(surprise[:, -4:].mean().item(), rel=1e-5)
    assert last == pytest.approx(math.log(256), abs=0.2)  # nothing learned yet


def test_sizes_that_do_not_fit_are_refused():
    for options, error in (
        ({"width": 30}, "width must be a multiple of heads = 4, got 30"),
        ({"layers": 0}, "layers must"),
        ({"heads": 0}, "heads must"),
        ({"vocabulary": 0}, "vocabulary must"),
        ({"start": 0.0}, "start must"),
    ):
        with pytest.raises(ValueError, match=error):
            Decoder(None, **options)
    q = torch.randn(1, 1, 4, 8)
    with pytest.raises(ValueError, match="window must"):
        causal_attention(q, q, q, window=0)
