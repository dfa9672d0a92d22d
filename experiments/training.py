"""Training one small decoder on the plays: the same data, schedule and start for every encoding."""

import argparse
import math
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from common import Place, refuse_others
from torch import nn

from rope_lib import RotaryEmbedding
from rope_lib.checks import require_count
from rope_lib.course.decoder import Decoder, Mixer, causal_attention, next_token_loss
from rope_lib.course.encodings import ALiBi, Encoding, Learned, NoPosition, Sinusoidal, T5Bias
from rope_lib.course.text import shakespeare, windows

ENCODINGS = ("none", "sinusoidal", "learned", "t5", "alibi", "rope")


Texts = tuple[torch.Tensor, torch.Tensor]  # to train on, and held out


def add_sizes(made: argparse.ArgumentParser, *, steps: int) -> None:
    """The options of a comparison in which every model trains alike, with five seeds."""
    made.set_defaults(seeds=[0, 1, 2, 3, 4])
    made.add_argument("--batch", type=int, default=4)
    made.add_argument("--steps", type=int, default=steps)
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--layers", type=int, default=2)
    made.add_argument("--heads", type=int, default=4)


def plays() -> Texts:
    return shakespeare("train"), shakespeare("validation")


def read_texts(path: Path) -> Texts:
    """The bytes of a file: the last tenth is held out."""
    data = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
    return data[: -(len(data) // 10)], data[-(len(data) // 10) :]


@dataclass(frozen=True)
class Model:
    """A decoder and its encoding. ``start`` is the size of embeddings, and of labels, at first."""

    encoding: str
    start: float = 0.02
    width: int = 128
    layers: int = 2
    heads: int = 4


@dataclass(frozen=True)
class Schedule:
    """How one model is trained: AdamW, a linear warm-up, then half a cosine down to a tenth.

    ``own`` is what the learning rate of the encoding's own parameters is multiplied by. They have
    no weight decay then. With None they are trained as all others.
    """

    length: int
    batch: int
    steps: int
    learning_rate: float
    warmup: int = 50
    weight_decay: float = 0.01
    clip: float = 1.0
    own: float | None = None

    def __post_init__(self):
        for name in ("length", "batch", "steps"):
            require_count(name, getattr(self, name))

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        falling = 0.55 + 0.45 * math.cos(math.pi * step / self.steps)
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * falling


def make_encoding(name: str, *, width: int, heads: int, length: int) -> nn.Module:
    """An encoding for a decoder of these sizes.

    Raises:
        ValueError: an unknown name.
    """
    makers = {
        "none": NoPosition,
        "sinusoidal": partial(Sinusoidal, width),
        "learned": partial(Learned, length, width),
        "t5": partial(T5Bias, heads, bidirectional=False),
        "alibi": partial(ALiBi, heads),
        "rope": partial(RotaryEmbedding, width // heads, pairing="half"),
    }
    if name not in makers:
        raise ValueError(f"encoding must be one of {', '.join(makers)}; got {name!r}")
    return makers[name]()


def make_model(model: Model, length: int, seed: int, mixer: Mixer = causal_attention) -> Decoder:
    """The decoder at its start. All encodings get the same weights from one seed."""
    sizes = {"width": model.width, "heads": model.heads}
    torch.manual_seed(seed)
    encoding = make_encoding(model.encoding, length=length, **sizes)
    if hasattr(encoding, "table"):
        nn.init.normal_(encoding.table.weight, std=0.02 if model.encoding == "t5" else model.start)
    torch.manual_seed(seed)
    # The numbers of a sinusoid have the size 1 / sqrt(2), as those of a learned table have start.
    scale = math.sqrt(2) * model.start if model.encoding == "sinusoidal" else 1.0
    return Decoder(
        encoding, layers=model.layers, start=model.start, label_scale=scale, mixer=mixer, **sizes
    )


def train(
    model: nn.Module,
    schedule: Schedule,
    seed: int,
    place: Place,
    name: str,
    *,
    texts: Texts | None = None,
    curve_every: int = 100,
    save_every: int = 200,
) -> list[list[float]]:
    """Train ``model`` where it is; go on from the last checkpoint of ``name``, if there is one.

    Every step draws its data from ``seed`` and its own number, so a training that was interrupted
    ends with the same weights as one that was not. Under ``torchrun`` each process takes every
    ``world``-th row of the batch, and gradients are averaged.

    Returns:
        The curve: ``[step, loss on held-out text]``, also for step 0.

    Raises:
        ValueError: a batch that does not divide among the processes.
        SystemExit: the checkpoint was made with other settings.
    """
    if schedule.batch % place.world:
        raise ValueError(f"batch must be a multiple of {place.world}, got {schedule.batch}")
    model.to(place.device).train()
    text, held_out = texts or plays()

    def measure(step: int) -> list[float]:
        return [step, validate(model, schedule.length, 8192 // schedule.length, text=held_out)]

    optimizer = _optimizer(model, schedule)
    path = place.folder / f"{name}.pt"
    settings = {**asdict(schedule), "seed": seed, "bytes": len(text)}
    first, curve = _resume(path, model, optimizer, place.device, settings)
    place.tick(first)
    for step in range(first, schedule.steps):
        if step % curve_every == 0:
            curve.append(measure(step))
        pieces = windows(text, schedule.length, schedule.batch, seed * 1_000_003 + step)
        _step(model, optimizer, schedule.rate(step), pieces.to(place.device), schedule.clip, place)
        place.tick(1)
        if (step + 1) % save_every == 0 and step + 1 < schedule.steps and place.rank == 0:
            _save(path, model, optimizer, step + 1, curve, settings)
    if first < schedule.steps:
        curve.append(measure(schedule.steps))
        if place.rank == 0:
            _save(path, model, optimizer, schedule.steps, curve, settings)
    return curve


@torch.no_grad()
def validate(
    model: nn.Module, length: int, pieces: int, *, text: torch.Tensor | None = None
) -> float:
    """Loss in nats a byte on fixed pieces of a text; by default, of the held-out plays."""
    device = next(model.parameters()).device
    text = plays()[1] if text is None else text
    drawn = windows(text, length, pieces, seed=0).to(device)
    few = max(1, 8192 // length)
    losses = [next_token_loss(model, part).item() * len(part) for part in drawn.split(few)]
    return sum(losses) / pieces


def own_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of all encodings in the model: a table of positions, of distances, phases."""
    encodings = [module for module in model.modules() if isinstance(module, Encoding)]
    found = [parameter for encoding in encodings for parameter in encoding.parameters()]
    return list(dict.fromkeys(found))  # once each: an encoding may lie within another


def _groups(model: nn.Module, schedule: Schedule) -> list[dict]:
    """One group of parameters; or two, where those of the encoding have a rate of their own."""
    own = [] if schedule.own is None else own_parameters(model)
    if not own:
        return [{"params": list(model.parameters())}]
    apart = {id(parameter) for parameter in own}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in apart]
    return [{"params": rest}, {"params": own, "own": schedule.own, "weight_decay": 0.0}]


def _optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        _groups(model, schedule),
        lr=schedule.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=schedule.weight_decay,
        fused=True,
    )


def _step(model, optimizer, rate: float, pieces: torch.Tensor, clip: float, place: Place) -> None:
    """One step of gradient descent on this process's rows of ``pieces``."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("own", 1.0)
    optimizer.zero_grad()
    next_token_loss(model, pieces[place.rank :: place.world]).backward()
    if place.world > 1:
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= place.world
    nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()


def _save(path: Path, model: nn.Module, optimizer, step: int, curve: list, settings: dict) -> None:
    """Whole or not at all: an interruption leaves the checkpoint before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".part{os.getpid()}")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "step": step, "curve": curve, "settings": settings}, part)
    os.replace(part, path)


def _resume(
    path: Path, model: nn.Module, optimizer, device: torch.device, settings: dict
) -> tuple[int, list]:
    """The step to go on with, and the curve so far."""
    if not path.exists():
        return 0, []
    state = torch.load(path, map_location=device, weights_only=True)
    # Checkpoints from before there was a rate of its own say nothing about it.
    refuse_others(path, {"own": None, **state["settings"]}, settings)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["curve"]
