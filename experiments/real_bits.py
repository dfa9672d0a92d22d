"""A real model in bfloat16: what it costs, and what it costs to cast the frequencies as well.

Every weight, and every result of a layer's steps, is rounded to bfloat16; sums run in float32, as
on a GPU. That is imitated in float32, since processors without bfloat16 arithmetic are slow at it;
the tests hold it to a model that computes in bfloat16. Then the same with the rotation's frequency
buffer cast to bfloat16, as ``model.to(torch.bfloat16)`` does to a buffer that nobody protects.
Angles are then ``position * rounded frequency`` in float32: the positions are exact in both.

One more run takes queries and keys of the trained model and moves both by the same shift. With
exact tables a score must not change; rounding the *rotated* queries and keys to bfloat16 changes
it, and rounding them before the rotation does not.

What would count as harm: the mean difference over the windows has a 95 % interval above 0,
corrected for the two comparisons at each length (bfloat16 with float32, and cast with exact).
"""

import copy
from dataclasses import replace
from functools import lru_cache, partial

import passages
import real
import torch
import ways
from common import Place, run_all
from llama import Llama
from memory import Way, queries_keys_values, read
from torch import nn

SHIFTS = (0, 1, 16, 256, 1024, 4096, 8191)


def work(run: dict, place: Place, *, folder: str) -> dict:
    """Losses of one window at each length; or scores under a shift, for the run without one."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    exact = ways.scaled(model.sizes)
    if run["window"] is None:
        return real.rounded(shifted_scores(run, path, model, exact), 6)
    rounded_model = in_bfloat16(path, place.device)
    cast = replace(exact, inv_freq=exact.inv_freq.bfloat16().double())
    tried = {
        "float32": (model, exact),
        "bfloat16": (rounded_model, rounding(exact)),
        "bfloat16, frequencies cast": (rounded_model, rounding(cast)),
        "float32, frequencies cast": (model, cast),
    }
    found = {}
    for length in run["lengths"]:
        window = real.window(run, path, length, run["passage"], (length * 3 // 4, length // 4))
        for name, (reader, way) in tried.items():
            _, memory = read(reader, window.text, way)
            answer = passages.ask(reader, window, way, memory)
            found.setdefault(name, {})[str(length)] = answer
        place.tick(1)
    return real.rounded({"found": found})


class Rounded(nn.Module):
    """A step whose result is rounded to bfloat16."""

    def __init__(self, step: nn.Module):
        super().__init__()
        self.step = step

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nearest(self.step(x))


class RoundedWay(Way):
    """A way to read whose rotated queries and keys are rounded to bfloat16."""

    def turn(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return nearest(super().turn(x, positions))


def rounding(way: Way) -> RoundedWay:
    return RoundedWay(**{name: getattr(way, name) for name in way.__dataclass_fields__})


def nearest(x: torch.Tensor) -> torch.Tensor:
    """The nearest bfloat16 numbers, kept in float32."""
    return x.bfloat16().float()


@lru_cache(maxsize=1)
def in_bfloat16(path: str, device: torch.device) -> Llama:
    """The model with its weights rounded, and the result of every step."""
    return round_steps(copy.deepcopy(real.load(path, device)))


def round_steps(model: Llama) -> Llama:
    """Round ``model``'s weights in place, and the results of its steps from now on."""
    for parameter in model.parameters():
        parameter.data = nearest(parameter.data)
    for module in list(model.modules()):
        for name, step in list(module.named_children()):
            if isinstance(step, nn.Linear | nn.RMSNorm):
                setattr(module, name, Rounded(step))
    for layer in model.layers:
        layer.register_forward_hook(lambda layer, given, result: nearest(result))
    return model


def shifted_scores(run: dict, path: str, model: Llama, way: Way) -> dict:
    """How far scores move when query and key are shifted together; means over layers and heads.

    Returns:
        By shift, the root mean square change of a scaled score against shift 0, for: rotated
        numbers rounded; numbers rounded before an exact rotation. And the spread of the scores.
    """
    length = min(run["lengths"])
    text = real.window({**run, "window": 0}, path, length, 1).text
    changes = {"rounded after": [], "rounded before": []}
    spread = []
    for q, k, _ in queries_keys_values(model, text, way):
        q, k = nearest(q), nearest(k.repeat_interleave(q.shape[1] // k.shape[1], dim=1))
        after = [_scores(q, k, way, shift, nearest) for shift in SHIFTS]
        before = [_scores(q, k, way, shift, lambda x: x) for shift in SHIFTS]
        for name, found in (("rounded after", after), ("rounded before", before)):
            changes[name].append([(x - found[0]).square().mean().sqrt() for x in found])
        spread.append(before[0].std())
    return {
        "shifts": list(SHIFTS),
        "spread": torch.stack(spread).mean(),
        **{name: torch.tensor(rows).mean(dim=0) for name, rows in changes.items()},
    }


def _scores(q, k, way: Way, shift: int, finish) -> torch.Tensor:
    """Scaled scores in float64 after an exact rotation by ``shift`` more positions."""
    places = torch.arange(q.shape[2]) + shift
    angles = places.double()[:, None] * way.inv_freq
    cos, sin = angles.cos(), angles.sin()
    turned = []
    for x in (q.double(), k.double()):
        first, second = x.chunk(2, dim=-1)
        turned.append(torch.cat((first * cos - second * sin, first * sin + second * cos), dim=-1))
    q, k = (finish(x).double() for x in turned)
    return q @ k.mT / q.shape[-1] ** 0.5


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--lengths", type=int, nargs="+", default=[512, 4096, 8192])
    made.add_argument("--passage", type=int, default=256)
    args = made.parse_args()
    runs = real.plan(args, lengths=args.lengths, passage=args.passage, steps=len(args.lengths))
    runs.append({**runs[0], "name": "shifts", "window": None})
    run_all("real_bits", args, runs, partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
