"""Who is compared: each library as its users call it, in its own order of numbers and dimensions.

A contender is a function that makes, for one case, a function of queries and keys. Tables are ready
where the library lets its users make them once. Nobody pays for a change of layout.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from rope_lib import RotaryEmbedding, inverse_frequencies, rotation_tables
from rope_lib.kernels import rotate_qk, rotate_qk_

Pair = tuple[torch.Tensor, torch.Tensor]
Turn = Callable[[torch.Tensor, torch.Tensor], Pair]
IN_CACHE = ("decode", "step", "layer")  # one token: what is turned has just been written
LAYERS = 32  # rotations in one decode step, and calls in one CUDA graph
EPS = 1e-6


@dataclass(frozen=True)
class Case:
    """What is turned: shapes, dtype, and how the call is made.

    Args:
        mode: ``"prefill"``, ``"training"`` (forward and backward), ``"decode"`` (one token, with
            ready tables), ``"step"`` (a token's tables, then all layers) or ``"layer"`` (on a GPU:
            a token's norms, rotation and writes to the cache).
        batch, heads, kv_heads, tokens, head_dim: of queries and keys.
        dtype: name of a torch dtype.
        first: position of the first token.
    """

    mode: str
    batch: int
    heads: int
    kv_heads: int
    tokens: int
    head_dim: int
    dtype: str
    first: int = 0

    @property
    def name(self) -> str:
        heads = str(self.heads) if self.heads == self.kv_heads else f"{self.heads}:{self.kv_heads}"
        shape = f"{self.batch},{heads},{self.tokens},{self.head_dim}"
        return f"{self.mode} ({shape}) {self.dtype}"

    @property
    def nbytes(self) -> int:
        """Of queries and keys together."""
        numbers = self.batch * (self.heads + self.kv_heads) * self.tokens * self.head_dim
        return numbers * self.kind.itemsize

    @property
    def kind(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    def positions(self, device: torch.device | str = "cpu") -> torch.Tensor:
        return torch.arange(self.first, self.first + self.tokens, device=device)

    def tables(self, device: torch.device | str = "cpu", dtype=torch.float32) -> Pair:
        ladder = inverse_frequencies(self.head_dim, device=device)
        return rotation_tables(self.positions(device), ladder, dtype)

    def weight(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """Of the norms before the rotation, in a ``"layer"``."""
        return torch.linspace(0.5, 1.5, self.head_dim, device=device).to(self.kind)

    def heads_of(self, device: torch.device | str = "cpu", *, seed: int, heads_last: bool) -> Pair:
        """Random queries and keys, ``(batch, heads, tokens, head_dim)`` or heads after tokens."""
        draw = torch.Generator(device).manual_seed(seed)
        shape = (self.batch, self.tokens, self.head_dim)
        at = 2 if heads_last else 1
        given = {"generator": draw, "device": device}
        return tuple(
            torch.randn(*shape[:at], count, *shape[at:], **given).to(self.kind)
            for count in (self.heads, self.kv_heads)
        )


@dataclass(frozen=True)
class Contender:
    """A way to turn, and what it needs.

    Args:
        make: from a case and a device to a function of q and k.
        pairing: which numbers it turns together; None turns nothing (a yardstick).
        heads_last: heads after tokens.
        transposed: heads before tokens, seen through a view of memory where they come after; may
            write over what it is given, gradients included.
        in_place: writes to q and k; its floors are ``copy_`` and ``mul_``.
        normed: turns what an RMS norm has made of q and k.
        package: what has to be installed.
        modes: the cases it takes part in.
    """

    make: Callable[[Case, torch.device], Turn]
    pairing: str | None
    heads_last: bool = False
    transposed: bool = False
    in_place: bool = False
    normed: bool = False
    package: str | None = None
    modes: tuple[str, ...] = ("prefill", "training", "decode")

    def given(self, case: Case, device: torch.device, *, seed: int) -> Pair:
        """Random queries and keys as this contender takes them."""
        pair = case.heads_of(device, seed=seed, heads_last=self.heads_last or self.transposed)
        return tuple(x.transpose(1, 2) for x in pair) if self.transposed else pair


def clone(case: Case, device: torch.device) -> Turn:
    return lambda q, k: (q.clone(), k.clone())


def copy_over(case: Case, device: torch.device) -> Turn:
    """To places that take turns as what is copied does: see :mod:`pool`."""
    from pool import count

    places, state = [], {"next": 0}

    def turn(q, k):
        if not places:
            sets = range(count(case, device))
            places.extend((torch.empty_like(q), torch.empty_like(k)) for _ in sets)
        state["next"] = (state["next"] + 1) % len(places)
        for_q, for_k = places[state["next"]]
        return for_q.copy_(q), for_k.copy_(k)

    return turn


def multiply(case: Case, device: torch.device) -> Turn:
    """The least that work in place can do: read every number, and write it where it stood."""
    return lambda q, k: (q.mul_(1), k.mul_(1))


def add_vector(case: Case, device: torch.device) -> Turn:
    """What RoPE replaced: one vector for each position, added to everything."""
    vectors = torch.randn(case.tokens, case.head_dim, device=device).to(case.kind)
    return lambda q, k: (q + vectors, k + vectors)


def ours(pairing: str, *, in_place: bool = False, compiled: bool = False) -> Callable:
    def make(case: Case, device: torch.device) -> Turn:
        cos, sin = case.tables(device)
        turn = rotate_qk_ if in_place else rotate_qk
        backend = "torch" if compiled else None

        def both(q, k):
            return turn(q, k, cos, sin, pairing=pairing, backend=backend)

        return torch.compile(both) if compiled else both

    return make


def our_module(case: Case, device: torch.device) -> Turn:
    """Tables made anew in each call, which nobody else's time includes."""
    rope = RotaryEmbedding(case.head_dim, pairing="interleaved")
    positions = case.positions(device)
    return lambda q, k: rope(q, k, positions)


def complex_form(case: Case, device: torch.device) -> Turn:
    """As in Meta's code for LLaMA: widen, one complex product, narrow."""
    turns = torch.complex(*case.tables(device))

    def turn(x):
        pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
        return torch.view_as_real(pairs * turns).flatten(-2).type_as(x)

    return lambda q, k: (turn(q), turn(k))


def transformers(compiled: bool) -> Callable:
    def make(case: Case, device: torch.device) -> Turn:
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

        cos, sin = (torch.cat((t, t), dim=-1)[None].to(case.kind) for t in case.tables(device))

        def both(q, k):
            return apply_rotary_pos_emb(q, k, cos, sin)

        return torch.compile(both) if compiled else both

    return make


def proposed(case: Case, device: torch.device) -> Turn:
    """As proposed for ``torch.nn.functional`` (pytorch#187286), written from its description.

    One tensor at a time, tables of half width in its dtype, plain operations for the compiler.
    """
    cos, sin = (table.to(case.kind) for table in case.tables(device))

    @torch.compile(dynamic=False)  # fewer key heads would be taken for a size that varies
    def turn(x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1)

    return lambda q, k: (turn(q), turn(k))


def onnx_operator(case: Case, device: torch.device) -> Turn:
    """PyTorch's own function for ONNX's operator, which runs eagerly, too; it has no gradient."""
    from torch.onnx.ops import rotary_embedding

    tables = [table.to(case.kind).expand(case.batch, -1, -1) for table in case.tables(device)]
    return lambda q, k: (rotary_embedding(q, *tables), rotary_embedding(k, *tables))


def our_step(pairing: str, *, module: bool = False) -> Callable:
    """A token's rotations in all layers: by tables made once, or by the module's ``forward``."""

    def make(case: Case, device: torch.device) -> Turn:
        rope = RotaryEmbedding(case.head_dim, pairing=pairing)
        positions = case.positions(device)

        def by_tables(q, k):
            cos, sin = rope.tables(positions)
            return [rope.rotate(q, k, cos, sin) for _ in range(LAYERS)][-1]

        def by_module(q, k):
            return [rope(q, k, positions) for _ in range(LAYERS)][-1]

        return by_module if module else by_tables

    return make


def transformers_step(case: Case, device: torch.device) -> Turn:
    """As its LLaMA does it: the model makes tables once, each layer applies them."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    config = LlamaConfig(
        hidden_size=case.heads * case.head_dim,
        num_attention_heads=case.heads,
        num_key_value_heads=case.kv_heads,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )
    rope = LlamaRotaryEmbedding(config).to(device)
    positions = case.positions(device)[None]

    def step(q, k):
        cos, sin = rope(q, positions)
        return [apply_rotary_pos_emb(q, k, cos, sin) for _ in range(LAYERS)][-1]

    return step


def rotary_embedding_torch(case: Case, device: torch.device) -> Turn:
    """With ready angles: its own short cut counts positions in the dtype of what is turned."""
    from rotary_embedding_torch import RotaryEmbedding as Theirs
    from rotary_embedding_torch import apply_rotary_emb

    with torch.no_grad():
        angles = Theirs(case.head_dim).to(device)(case.positions(device).float())
    return lambda q, k: (apply_rotary_emb(angles, q), apply_rotary_emb(angles, k))


def x_transformers(case: Case, device: torch.device) -> Turn:
    from x_transformers.x_transformers import RotaryEmbedding as Theirs
    from x_transformers.x_transformers import apply_rotary_pos_emb

    rope = Theirs(case.head_dim).to(device)
    frequencies, scale = rope(case.positions(device))

    def both(q, k):
        return tuple(apply_rotary_pos_emb(x, frequencies, scale) for x in (q, k))

    return both


def torchtune(case: Case, device: torch.device) -> Turn:
    """The one file is read by itself: the package asks for much that has nothing to do with it."""
    file = from_package("torchtune", "modules/position_embeddings.py")
    rope = file.RotaryPositionalEmbeddings(case.head_dim, case.first + case.tokens).to(device)
    positions = case.positions(device)[None]
    return lambda q, k: (rope(q, input_pos=positions), rope(k, input_pos=positions))


def from_package(package: str, path: str):
    """A file of an installed package as a module, without importing the package."""
    found = importlib.util.find_spec(package)
    if found is None:
        raise ImportError(f"{package} is not installed")
    return load_file(Path(found.origin).parent / path)


def load_file(path: Path):
    spec = importlib.util.spec_from_file_location(f"benched_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NEW, IN_PLACE, ADD = "copy (clone)", "copy (copy_)", "add a position vector"
MULTIPLY = "multiply by one (mul_)"
THEIR_STEP = "transformers, a step"
FORWARD = ("prefill", "decode")  # without a backward pass
# Floors first. Training turns nothing in place: an old number may still be needed.
CONTENDERS = {
    NEW: Contender(clone, None),
    IN_PLACE: Contender(copy_over, None, in_place=True, modes=FORWARD),
    MULTIPLY: Contender(multiply, None, in_place=True, modes=FORWARD),
    ADD: Contender(add_vector, None),
    "rope_lib, interleaved": Contender(ours("interleaved"), "interleaved"),
    "rope_lib, half": Contender(ours("half"), "half"),
    "rope_lib, half, compiled": Contender(ours("half", compiled=True), "half"),
    "rope_lib, interleaved, compiled": Contender(ours("interleaved", compiled=True), "interleaved"),
    "rope_lib, interleaved, in place": Contender(
        ours("interleaved", in_place=True),
        "interleaved",
        in_place=True,
        modes=FORWARD,
    ),
    "rope_lib, half, in place": Contender(
        ours("half", in_place=True), "half", in_place=True, modes=FORWARD
    ),
    "rope_lib, module with positions": Contender(our_module, "interleaved"),
    "rope_lib, half, a step": Contender(our_step("half"), "half", modes=("step",)),
    "rope_lib, interleaved, a step": Contender(
        our_step("interleaved"), "interleaved", modes=("step",)
    ),
    "rope_lib, half, module in each layer": Contender(
        our_step("half", module=True), "half", modes=("step",)
    ),
    "rope_lib, interleaved, module in each layer": Contender(
        our_step("interleaved", module=True), "interleaved", modes=("step",)
    ),
    "complex product": Contender(complex_form, "interleaved"),
    "transformers": Contender(transformers(compiled=False), "half", package="transformers"),
    "transformers, compiled": Contender(
        transformers(compiled=True), "half", package="transformers"
    ),
    THEIR_STEP: Contender(transformers_step, "half", package="transformers", modes=("step",)),
    "PyTorch's proposal, compiled": Contender(proposed, "half", package="torch"),
    "torch.onnx.ops": Contender(onnx_operator, "half", package="torch", modes=FORWARD),
    "rotary-embedding-torch": Contender(
        rotary_embedding_torch, "interleaved", package="rotary-embedding-torch"
    ),
    "x-transformers": Contender(x_transformers, "interleaved", package="x-transformers"),
    "torchtune": Contender(torchtune, "interleaved", heads_last=True, package="torchtune"),
}  # fmt: skip
