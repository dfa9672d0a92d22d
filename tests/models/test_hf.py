"""rope_lib.hf: models of transformers (5.23.0) whose tables the library makes.

Models are those of family_models, tiny and with random weights. "Shipped" must change no bit of
what a model computes; the exact tables are compared with angles in float64.
"""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from family_models import CASES, in_bfloat16, logits
from rope_lib import RotaryEmbedding, rotate, rotation_tables
from rope_lib.hf import HFRotaryEmbedding, apply_rotary_transformers, patch, unpatch
from rope_lib.positions import left_padded_positions

NAMED = {case.name: case for case in CASES}
FAMILIES = (
    "LLaMA 3", "LLaMA, dynamic NTK", "LLaMA, YaRN", "Qwen3", "Gemma 3", "Gemma 4", "Phi-3, short",
    "Phi-3, long", "GPT-NeoX", "GLM-4", "Cohere 2", "gpt-oss", "OLMo 2", "DeepSeek-V2",
    "DeepSeek-V3", "DeepSeek-V4", "Qwen2-VL", "Qwen3-VL", "GLM-4V", "Llama 4", "ModernBERT",
    "ESM-2", "Qwen2-VL, vision", "Gemma 4, vision", "Pixtral, vision", "SAM 3, vision",
)  # fmt: skip
LENGTH_MATTERS = ("LLaMA, dynamic NTK", "Phi-3, long")
WRITERS = ("LLaMA 3", "LLaMA, dynamic NTK", "Qwen3", "Gemma 3", "Phi-3, long", "GPT-NeoX", "GLM-4",
           "Cohere 2", "DeepSeek-V3", "Qwen2-VL", "Llama 4")  # fmt: skip
FAR = 100_000


def build(name, dtype=torch.float32):
    model = NAMED[name].build()
    return model if dtype == torch.float32 else in_bfloat16(model)


def inputs_of(name, model):
    return NAMED[name].inputs(model.config, torch.Generator().manual_seed(1))


def rotary_modules(model):
    return [m for m in model.modules() if isinstance(m, HFRotaryEmbedding)]


def rotary(name, **how):
    """The model's own module, and ours."""
    model = build(name)
    (own,) = (m for m in model.modules() if type(m).__name__.endswith("RotaryEmbedding"))
    return own, rotary_modules(patch(model, **how))[0]


# ---------------------------------------------------------------- whole models


@pytest.mark.parametrize("name", FAMILIES)
def test_shipped_tables_change_no_bit(name):
    for dtype in (torch.float32, torch.bfloat16):
        model = build(name, dtype)
        keys, originals = list(model.state_dict()), list(model.modules())
        inputs = inputs_of(name, model)
        own = logits(model, inputs)
        assert patch(model, shipped=True) is model
        assert rotary_modules(model)
        assert torch.equal(logits(model, inputs), own)
        assert list(model.state_dict()) == keys
        assert unpatch(model) is model
        assert all(a is b for a, b in zip(model.modules(), originals, strict=True))
        assert torch.equal(logits(model, inputs), own)


@pytest.mark.parametrize("name", FAMILIES)
def test_exact_tables_change_little(name):
    """Short texts: a float32 angle is hardly off. And our tables do reach the logits."""
    model = build(name)
    inputs = inputs_of(name, model)
    own = logits(model, inputs)
    patch(model, tokens=20 if name in LENGTH_MATTERS else 18)
    result = logits(model, inputs)
    assert (result - own).abs().max() <= 2e-5 * max(1, own.abs().max().item() / 16)
    for module in rotary_modules(model):
        for kind in module._kinds.values():
            kind.placed_on = {device: (2 * f, axis) for device, (f, axis) in kind.placed_on.items()}
    assert (logits(model, inputs) - own).abs().max() > 1e-2


@pytest.mark.parametrize("name", ["LLaMA 3", "Gemma 3", "GLM-4", "DeepSeek-V3", "Llama 4"])
def test_a_padded_batch_is_the_same_to_the_bit(name):
    for dtype in (torch.float32, torch.bfloat16):
        model = build(name, dtype)
        ids = torch.randint(3, 64, (2, 12), generator=torch.Generator().manual_seed(2))
        mask = torch.ones_like(ids)
        mask[0, :5] = 0
        given = {"input_ids": ids, "attention_mask": mask,
                 "position_ids": left_padded_positions(mask)}  # fmt: skip
        own = logits(model, given)
        assert torch.equal(logits(patch(model, shipped=True), given), own)


@pytest.mark.parametrize("name", WRITERS)
def test_generation_with_a_cache_writes_the_same_with_the_same_scores(name):
    """Eight tokens more: past the original lengths of dynamic NTK and LongRoPE (16 and 18)."""
    model = build(name)
    ids = torch.randint(3, 64, (2, 12), generator=torch.Generator().manual_seed(3))
    how = dict(attention_mask=torch.ones_like(ids), max_new_tokens=8, min_new_tokens=8,
               do_sample=False, output_scores=True, return_dict_in_generate=True)  # fmt: skip
    own = copy.deepcopy(model).generate(ids, **how)
    ours = patch(model, shipped=True).generate(ids, **how)
    assert torch.equal(ours.sequences, own.sequences)
    assert all(torch.equal(a, b) for a, b in zip(ours.scores, own.scores, strict=True))


def test_generation_takes_one_length_for_the_whole_text():
    """Where the length is fixed, a cache gives what the whole text gives."""
    model = patch(build("Phi-3, long"), tokens=20)
    ids = torch.randint(3, 64, (1, 12), generator=torch.Generator().manual_seed(3))
    written = model.generate(ids, max_new_tokens=8, do_sample=False, output_scores=True,
                             min_new_tokens=8, return_dict_in_generate=True)  # fmt: skip
    whole = model(written.sequences).logits[:, 11:-1]
    expected = whole.index_fill(-1, torch.tensor([2]), -torch.inf)  # the end, before min_new_tokens
    torch.testing.assert_close(torch.stack(written.scores, 1), expected, atol=1e-4, rtol=0)


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize("name", ["Qwen3", "Gemma", "Cohere 2", "gpt-oss", "OLMo 2"])
def test_exact_tables_are_the_true_ones_rounded_once(name):
    """And the model's own are not: in float32 an angle of 100,000 is off by up to 4e-3."""
    own, exact = rotary(name)
    positions = torch.arange(FAR, FAR + 64)[None]
    truth = RotaryEmbedding.from_config(own.config).tables(positions, torch.float64)
    for dtype in (torch.bfloat16, torch.float32):
        x = torch.zeros(1, dtype=dtype)
        for true, a, b in zip(truth, exact(x, positions), own(x, positions), strict=True):
            assert a.dtype == b.dtype
            pairs = torch.arange(a.shape[-1])
            pairs = pairs // 2 if name == "Cohere 2" else pairs % true.shape[-1]
            assert torch.equal(a, true[..., pairs].to(a.dtype))
            errors = [(table - true[..., pairs]).square().mean().sqrt() for table in (a, b)]
            assert errors[0] < errors[1] / (1 if a.dtype == torch.bfloat16 else 1000)


def test_exact_complex_tables_are_rounded_once():
    own, exact = rotary("Llama 4")
    positions = torch.arange(FAR, FAR + 64)[None]
    cos, sin = RotaryEmbedding.from_config(own.config).tables(positions, torch.float64)
    ours, theirs = (each(torch.zeros(1), positions) for each in (exact, own))
    assert ours.dtype == theirs.dtype == torch.complex64
    assert torch.equal(ours, torch.complex(cos.float(), sin.float()))
    assert (ours - torch.complex(cos, sin)).abs().max() < 1e-7
    assert (theirs - torch.complex(cos, sin)).abs().max() > 1e-4


@pytest.mark.parametrize("name", LENGTH_MATTERS)
def test_frequencies_follow_the_length_as_released(name):
    """Growth, what stays grown, the exact original length, and the reset below it."""
    own, ours = rotary(name, shipped=True)
    differ = set()
    for length in (4, 30, 40, 20, 16, 17, 18, 19, 15, 12, 50, 5, 16):
        positions = torch.arange(length)[None]
        tables = [each(torch.zeros(1), positions) for each in (own, ours)]
        assert all(torch.equal(a, b) for a, b in zip(*tables, strict=True))
        differ.add(tables[0][0][0, 3, 1].item())
    assert len(differ) > 1


@pytest.mark.parametrize("name", LENGTH_MATTERS)
def test_exact_frequencies_need_the_length(name):
    model = build(name)
    before = list(model.modules())
    with pytest.raises(ValueError, match=r"depends on the length .* tokens="):
        patch(model)
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
    ours = patch(model, tokens=40).model.rotary_emb
    short, whole = (ours(torch.zeros(1), torch.arange(n)[None])[0] for n in (3, 40))
    assert torch.equal(short, whole[:, :3])
    rope = RotaryEmbedding.from_config(model.config).for_length(40)
    assert torch.equal(whole[..., : whole.shape[-1] // 2], rope.tables(torch.arange(40)[None])[0])
    with pytest.raises(ValueError, match="below tokens = 40, got 40"):
        ours(torch.zeros(1), torch.tensor([[40]]))


def test_it_goes_on_from_where_dynamic_ntk_has_grown():
    """And what has grown before is then reset by a short text, as released."""
    model = build("LLaMA, dynamic NTK")
    own = model.model.rotary_emb
    x, far, near = torch.zeros(1), torch.arange(40)[None], torch.arange(16)[None]
    grown, _ = own(x, far)
    ours = patch(model, shipped=True).model.rotary_emb
    assert torch.equal(own(x, near)[0], grown[:, :16])  # and the trial has left no mark on it
    assert torch.equal(ours(x, near)[0], grown[:, :16])
    short = own(x, near[:, :3])[0]
    assert not torch.equal(short, grown[:, :3])
    assert torch.equal(ours(x, near[:, :3])[0], short)


def test_layer_types_are_said():
    _, ours = rotary("Gemma 3", shipped=True)
    assert set(ours.layer_types) == {"full_attention", "sliding_attention"}
    positions = torch.arange(8)[None]
    tables = [ours(torch.zeros(1), positions, name)[0] for name in ours.layer_types]
    assert not torch.equal(*tables)
    for wrong in (None, "chunked"):
        with pytest.raises(ValueError, match="layer_type"):
            ours(torch.zeros(1), positions, wrong)


def test_kinds_of_layers_that_a_model_has_not_are_left_out():
    """Gemma 3's first global layer is the sixth, and a model for a test has fewer."""
    config = {"model_type": "gemma3_text", "head_dim": 8, "num_hidden_layers": 4}
    config["layer_types"] = ["sliding_attention"] * 4
    assert HFRotaryEmbedding(config).layer_types == ("sliding_attention",)


def test_it_is_built_from_a_dictionary_as_well():
    config = {"model_type": "gemma3_text", "head_dim": 8, "rope_theta": 1e5}
    rope = HFRotaryEmbedding(config)
    cos, _ = rope(torch.zeros(1), torch.arange(4)[None], layer_type="full_attention")
    expected = RotaryEmbedding.from_config(config, layer_type="full_attention")
    assert torch.equal(cos[..., :4], expected.tables(torch.arange(4)[None])[0])
    assert "gemma3_text" in repr(rope)
    assert not rope.state_dict()


# ---------------------------------------------------------------- what else is done to a model


def test_casting_leaves_the_frequencies_alone():
    own, ours = rotary("LLaMA 3")
    positions = torch.arange(64)[None]
    x = torch.zeros(1, dtype=torch.bfloat16)
    before = ours(x, positions)
    assert all(map(torch.equal, ours.to(torch.bfloat16)(x, positions), before))
    assert not all(map(torch.equal, own.to(torch.bfloat16)(x, positions), before))
    assert not [*ours.parameters(), *ours.buffers(), *ours.children()]


def test_a_cast_model_can_be_patched():
    """Its own frequencies are then rounded to bfloat16; ours are those of the configuration."""
    model = patch(build("LLaMA 3").to(torch.bfloat16))
    positions = torch.arange(64)[None]
    fresh = HFRotaryEmbedding(model.config)(torch.zeros(1), positions)
    assert all(map(torch.equal, model.model.rotary_emb(torch.zeros(1), positions), fresh))


def test_a_model_on_meta_has_its_tables_once_it_is_real():
    weights = build("LLaMA 3")
    with torch.device("meta"):
        model = patch(type(weights)(weights.config), shipped=True).eval()
    model.to_empty(device="cpu").load_state_dict(weights.state_dict())
    inputs = inputs_of("LLaMA 3", weights)
    assert torch.equal(logits(model, inputs), logits(weights, inputs))
    ours = rotary_modules(model)
    with pytest.raises(ValueError, match=r"model\.rotary_emb was taken out on the meta device"):
        unpatch(model)
    assert rotary_modules(model) == ours


def test_a_model_patched_and_moved_to_meta_still_tells_shapes():
    model = patch(build("LLaMA 3")).to("meta")
    assert model(torch.ones(1, 4, dtype=torch.long, device="meta")).logits.shape == (1, 4, 64)


def test_a_copy_is_undone_by_itself():
    model = patch(build("LLaMA 3"), shipped=True)
    twin = unpatch(copy.deepcopy(model))
    assert rotary_modules(model)
    assert not rotary_modules(twin)
    inputs = inputs_of("LLaMA 3", model)
    assert torch.equal(logits(model, inputs), logits(twin, inputs))


def test_saved_files_load_into_plain_transformers(tmp_path):
    model = patch(build("Gemma 3"), shipped=True)
    model.save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert not rotary_modules(plain)
    inputs = inputs_of("Gemma 3", plain)
    assert torch.equal(logits(model, inputs), logits(plain, inputs))


def test_frequencies_that_a_model_saves_go_where_it_goes():
    """ESM-2 has them in its files."""
    model = patch(build("ESM-2")).to(torch.bfloat16)
    dtypes = {name: value.dtype for name, value in model.state_dict().items()}
    assert dtypes["esm.rotary_embeddings.inv_freq"] == torch.bfloat16
    cos, _ = model.esm.rotary_embeddings(torch.zeros(1), torch.arange(64)[None])
    assert torch.equal(cos, HFRotaryEmbedding(model.config)(cos, torch.arange(64)[None])[0])
    after = unpatch(model).state_dict()
    assert {name: value.dtype for name, value in after.items()} == dtypes


@pytest.mark.parametrize("name", ["LLaMA 3", "Gemma 3", "Phi-3, long", "Qwen2-VL"])
def test_it_compiles_in_one_graph(name):
    ropes = rotary_modules(patch(build(name), shipped=True))
    (rope,) = (rope for rope in ropes if not rope._is_tower)
    positions = torch.arange(20).expand((3, 1, 20) if name == "Qwen2-VL" else (1, 20))
    more = {"layer_type": "full_attention"} if rope.layer_types else {}
    compiled = torch.compile(rope, fullgraph=True, backend="eager")
    for length in (20, 7):
        given = torch.zeros(1), positions[..., :length]
        assert all(map(torch.equal, compiled(*given, **more), rope(*given, **more)))


def test_gradients_pass_as_before():
    model = build("LLaMA 3").requires_grad_(True)
    inputs, grads = inputs_of("LLaMA 3", model), []
    for change in (unpatch_if_patched, lambda m: patch(m, shipped=True)):
        change(model)
        model.zero_grad()
        logits(model, inputs).square().sum().backward()
        grads.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    assert torch.equal(*grads)


def unpatch_if_patched(model):
    return unpatch(model) if rotary_modules(model) else model


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GPT-J", "no rotary embedding module"),
        ("RoFormer", "no rotary embedding module"),
        ("DINOv3", "rope_embeddings .* takes pixel_values"),
    ],
)
def test_models_that_cannot_be_exchanged_are_named(name, words):
    model = build(name)
    with pytest.raises(ValueError, match=words) as caught:
        patch(model)
    assert len(str(caught.value)) < 300


class Strange(nn.Module):
    """A second tower of an unknown kind."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def forward(self, x, position_ids):
        return x, x


@pytest.mark.parametrize("change", ["type", "base", "signature"])
def test_a_failure_half_way_leaves_the_model_as_it_was(change):
    model, other = build("LLaMA 3"), copy.deepcopy(build("LLaMA 3").config)
    model.tower = nn.Module()
    if change == "type":
        other.model_type = "unheard-of"
    elif change == "base":  # the tables then differ from what the configuration says
        other.rope_parameters["rope_theta"] = 200.0
        model.tower.rotary_emb = copy.deepcopy(model.model.rotary_emb)
        model.tower.rotary_emb.config = other
    if change != "base":
        model.tower.rotary_emb = Strange(other if change == "type" else None)
    before = list(model.modules())
    with pytest.raises(ValueError, match=r"^tower\.rotary_emb \(\w+\) cannot be exchanged") as bad:
        patch(model)
    assert len(str(bad.value)) < 300
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
    patch(model.model)  # a part can be patched by itself
    assert rotary_modules(model) == [model.model.rotary_emb]


def test_a_module_in_two_places_stays_one():
    model = build("LLaMA 3")
    model.again = nn.ModuleDict({"rotary_emb": model.model.rotary_emb})
    own = model.model.rotary_emb
    patch(model)
    assert model.model.rotary_emb is model.again["rotary_emb"]
    unpatch(model)
    assert model.model.rotary_emb is own
    assert model.again["rotary_emb"] is own


def test_twice_is_an_error():
    model = build("LLaMA 3")
    with pytest.raises(ValueError, match="is not patched"):
        unpatch(model)
    ours = patch(model).model.rotary_emb
    with pytest.raises(ValueError, match=r"patched already, at model\.rotary_emb"):
        patch(model, shipped=True)
    assert model.model.rotary_emb is ours


def test_arguments_are_checked():
    with pytest.raises(TypeError, match="model"):
        patch("llama")
    with pytest.raises(ValueError, match="tokens"):
        patch(build("LLaMA 3"), tokens=0)
    with pytest.raises(TypeError, match="position_ids"):
        HFRotaryEmbedding(build("LLaMA 3").config)(torch.zeros(1), [0, 1])
    with pytest.raises(TypeError, match="x must have"):
        HFRotaryEmbedding(build("LLaMA 3").config)(torch.zeros(1, dtype=torch.long), torch.ones(1))
    for config in ({}, {"model_type": "unheard-of"}):
        with pytest.raises(ValueError, match="model_type"):
            HFRotaryEmbedding(config)


@pytest.mark.parametrize(
    ("name", "shape"), [("Qwen3-VL", (4, 1, 5)), ("Qwen3-VL", (5,)), ("Pixtral, vision", (2, 5))]
)
def test_positions_without_an_axis_each_are_refused(name, shape):
    for rope in rotary_modules(patch(build(name))):
        if rope._is_tower == ("vision" in name):
            with pytest.raises(ValueError, match=r"position_ids must .* got shape"):
                rope(torch.zeros(1), torch.ones(shape))
            return
    raise AssertionError("no such module")


def test_transformers_is_not_imported():
    code = "import sys, rope_lib.hf; assert 'transformers' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# ---------------------------------------------------------------- the convention of kernels


@pytest.mark.parametrize("unsqueeze_dim", [1, 2])
@pytest.mark.parametrize("pairing", ["half", "interleaved"])
@pytest.mark.parametrize("width", [8, 4])
def test_full_tables_turn_as_half_ones_do(unsqueeze_dim, pairing, width):
    q, k = torch.randn(2, 4, 5, 8), torch.randn(2, 2, 5, 8)
    positions = torch.arange(5) + torch.tensor([[0], [3]])
    inv_freq = torch.rand(width // 2)
    cos, sin = rotation_tables(positions, inv_freq)
    expected = [rotate(x, cos, sin, pairing=pairing, rotated="first") for x in (q, k)]
    full = [
        torch.cat((t, t), -1) if pairing == "half" else t.repeat_interleave(2, -1)
        for t in (cos, sin)
    ]
    if unsqueeze_dim == 2:
        q, k = q.transpose(1, 2), k.transpose(1, 2)
    turned = apply_rotary_transformers(q, k, *full, unsqueeze_dim, pairing=pairing)
    for ours, true in zip(turned, expected, strict=True):
        assert torch.equal(ours if unsqueeze_dim == 1 else ours.transpose(1, 2), true)


def test_it_is_transformers_own_function_rounded_once():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    q, k = torch.randn(2, 4, 64, 8), torch.randn(2, 2, 64, 8)
    tables = HFRotaryEmbedding(build("Qwen3").config)(q, torch.arange(64).expand(2, -1))
    tables = [table[..., [*range(4), *range(8, 12)]] for table in tables]
    truth = apply_rotary_pos_emb(q.double(), k.double(), *(t.double() for t in tables))
    for ours, true in zip(apply_rotary_transformers(q, k, *tables), truth, strict=True):
        torch.testing.assert_close(ours, true.float(), atol=5e-7, rtol=0)
    narrow = [x.to(torch.bfloat16) for x in (q, k, *tables)]
    truth = apply_rotary_pos_emb(*(x.double() for x in narrow))
    ours, theirs = (f(*narrow) for f in (apply_rotary_transformers, apply_rotary_pos_emb))
    for a, b, true in zip(ours, theirs, truth, strict=True):
        assert (a - true).abs().mean() < (b - true).abs().mean()


@pytest.mark.parametrize("pairing", ["half", "interleaved"])
@pytest.mark.parametrize("width", [8, 4])
def test_it_is_differentiable_and_one_graph(width, pairing):
    q, k = (torch.randn(1, n, 3, 8, dtype=torch.float64, requires_grad=True) for n in (2, 1))
    half = rotation_tables(torch.arange(3)[None], torch.rand(width // 2), torch.float64)
    full = [
        t.repeat_interleave(2, -1) if pairing == "interleaved" else t.repeat(1, 1, 2) for t in half
    ]

    def turn(q, k):
        return apply_rotary_transformers(q, k, *full, pairing=pairing)

    assert torch.autograd.gradcheck(turn, (q, k))
    compiled = torch.compile(turn, fullgraph=True, backend="aot_eager")
    for ours, true in zip(compiled(q, k), turn(q, k), strict=True):
        torch.testing.assert_close(ours, true)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(unsqueeze_dim=0), "unsqueeze_dim must be 1 or 2, got 0"),
        (dict(pairing="interleaved"), "cos must have each number twice side by side"),
        (dict(pairing="both"), "pairing"),
        (dict(cos=torch.ones(5, 8)), r"cos must be \(batch, seq, even width\)"),
    ],
)
def test_tables_that_do_not_fit_are_refused(change, words):
    x = torch.randn(1, 2, 5, 8)
    table = torch.rand(1, 5, 4).repeat(1, 1, 2)
    with pytest.raises(ValueError, match=words):
        apply_rotary_transformers(**(dict(q=x, k=x, cos=table, sin=table) | change))


def test_frequencies_that_were_cast_are_told():
    """A model that is cast as a whole rounds its own; the stand-in's are what was trained with."""
    sizes = dict(hidden_size=32, intermediate_size=32, num_attention_heads=2, num_hidden_layers=1)
    config = LlamaConfig(vocab_size=40, **sizes)
    cast = LlamaForCausalLM(config).bfloat16()
    with pytest.warns(UserWarning, match="were cast to 16 bits, so its results change"):
        patch(cast, shipped=True)
    again = LlamaForCausalLM(config).bfloat16().float()
    with pytest.raises(ValueError, match="was the model cast to 16 bits and back"):
        patch(again)
