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


@dataclass(frozen=True)
class Case:
    """What is turned: shapes, dtype, and how the call is made.

    Args:
        mode: ``"prefill"``, ``"training"`` (forward and backward) or ``"decode"`` (one token).
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
    def kind(self) -> torch.dtype:
        return getattr(torch, self.dtype)

    def positions(self, device: torch.device | str = "cpu") -> torch.Tensor:
        return torch.arange(self.first, self.first + self.tokens, device=device)

    def tables(self, device: torch.device | str = "cpu", dtype=torch.float32) -> Pair:
        ladder = inverse_frequencies(self.head_dim, device=device)
        return rotation_tables(self.positions(device), ladder, dtype)

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
        transposed: heads before tokens, seen through a view of memory where they come after.
        in_place: writes to q and k; its floor is ``copy_``.
        package: what has to be installed.
        modes: the cases it takes part in.
    """

    make: Callable[[Case, torch.device], Turn]
    pairing: str | None
    heads_last: bool = False
    transposed: bool = False
    in_place: bool = False
    package: str | None = None
    modes: tuple[str, ...] = ("prefill", "training", "decode")

    def given(self, case: Case, device: torch.device, *, seed: int) -> Pair:
        """Random queries and keys as this contender takes them."""
        pair = case.heads_of(device, seed=seed, heads_last=self.heads_last or self.transposed)
        return tuple(x.transpose(1, 2) for x in pair) if self.transposed else pair


def clone(case: Case, device: torch.device) -> Turn:
    return lambda q, k: (q.clone(), k.clone())


def copy_over(case: Case, device: torch.device) -> Turn:
    places = {}

    def turn(q, k):
        if not places:
            places["q"], places["k"] = torch.empty_like(q), torch.empty_like(k)
        return places["q"].copy_(q), places["k"].copy_(k)

    return turn


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
# Floors first. Training turns nothing in place: an old number may still be needed.
CONTENDERS = {
    NEW: Contender(clone, None),
    IN_PLACE: Contender(copy_over, None, in_place=True, modes=("prefill", "decode")),
    ADD: Contender(add_vector, None),
    "rope_lib, interleaved": Contender(ours("interleaved"), "interleaved"),
    "rope_lib, half": Contender(ours("half"), "half"),
    "rope_lib, half, compiled": Contender(ours("half", compiled=True), "half"),
    "rope_lib, interleaved, compiled": Contender(ours("interleaved", compiled=True), "interleaved"),
    "rope_lib, interleaved, in place": Contender(
        ours("interleaved", in_place=True),
        "interleaved",
        in_place=True,
        modes=("prefill", "decode"),
    ),
    "rope_lib, half, in place": Contender(
        ours("half", in_place=True), "half", in_place=True, modes=("prefill", "decode")
    ),
    "rope_lib, module with positions": Contender(our_module, "interleaved"),
    "complex product": Contender(complex_form, "interleaved"),
    "transformers": Contender(transformers(compiled=False), "half", package="transformers"),
    "transformers, compiled": Contender(
        transformers(compiled=True), "half", package="transformers"
    ),
    "rotary-embedding-torch": Contender(
        rotary_embedding_torch, "interleaved", package="rotary-embedding-torch"
    ),
    "x-transformers": Contender(x_transformers, "interleaved", package="x-transformers"),
    "torchtune": Contender(torchtune, "interleaved", heads_last=True, package="torchtune"),
}  # fmt: skip
