"""One factor a pair, searched for on a real model: LongRoPE's idea with a small budget.

LongRoPE (arXiv 2402.13753) divides the frequency of each pair by a factor of its own and finds the
factors by an evolutionary search on long texts. Here the search starts from the best of YaRN, NTK
and linear scaling, changes all factors a little at random, and keeps a change that lowers the loss
of passages at the end of long texts. The texts are read as in ``real_length.py``, whose windows lie
elsewhere, so that what is found here is tested there on other passages. Unlike the paper, the first
tokens get no positions of their own, and the budget is tens of trials instead of thousands.
"""

import math
from functools import partial
from statistics import fmean

import passages
import real
import torch
import ways
from common import Place, run_all
from memory import Way, read
from real_length import shortened

from rope_lib import NTK, Linear, Rescaled, YaRN, inverse_frequencies


def work(run: dict, place: Place, *, folder: str) -> dict:
    """The search; returns the factors, fastest pair first, and the losses on the way."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    sizes, factor = model.sizes, run["factor"]
    texts = [_read(run, path, model, number) for number in between(run["windows"], run["texts"])]

    def loss(factors: torch.Tensor) -> float:
        amplitude = YaRN(factor, sizes.trained_length).amplitude
        way = ways.scaled(sizes, Rescaled(tuple(factors.tolist()), amplitude))
        place.tick(1)
        return fmean(passages.ask(model, window, way, memory)["loss"] for window, memory in texts)

    found, losses = search(loss, starts(sizes, factor), run["steps"], factor, run["seed"])
    return real.rounded({"factors": found, "losses": losses})


def between(windows: int, texts: int) -> list[float]:
    """Numbers of windows halfway between those that are scored, spread over the plays."""
    return [round((windows - 1) * (n + 0.5) / texts) + 0.5 for n in range(texts)]


def _read(run: dict, path: str, model, number: float):
    """A window without questions, and the memory of its text."""
    window = real.window({**run, "window": number}, path, run["length"], run["passage"])
    way: Way = ways.window_with_sinks(ways.scaled(model.sizes), run["near"])
    _, memory = read(model, window.text, way)
    return window, shortened(memory, run["length"])


def starts(sizes, factor: int) -> list[torch.Tensor]:
    """What YaRN, NTK and linear scaling divide each pair's frequency by."""
    plain = inverse_frequencies(sizes.head_dim, sizes.base)
    scalings = (YaRN(factor, sizes.trained_length), NTK(factor), Linear(factor))
    return [plain / s.inverse_frequencies(sizes.head_dim, sizes.base) for s in scalings]


def search(loss, begin: list[torch.Tensor], steps: int, factor: int, seed: int) -> tuple:
    """The best factors of ``steps`` trials, never falling from fast to slow, and all losses."""
    generator = torch.Generator().manual_seed(seed)
    best, least, losses = None, math.inf, []
    for step in range(steps):
        tried = begin[step] if step < len(begin) else _changed(best, factor, generator)
        losses.append(loss(tried))
        if losses[-1] < least:
            best, least = tried, losses[-1]
    return best, losses


def _changed(factors: torch.Tensor, factor: int, generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(len(factors), generator=generator, dtype=torch.float64)
    changed = (factors.log() + 0.15 * noise).exp()
    return changed.clamp(1.0, 1.5 * factor).sort().values


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--length", type=int, default=32_768, help="tokens before the passage")
    made.add_argument("--passage", type=int, default=256)
    made.add_argument("--texts", type=int, default=2)
    made.add_argument("--near", type=int, default=ways.NEAR, help="the window of the reading")
    made.add_argument("--factor", type=int, default=4)
    made.add_argument("--steps", type=int, default=40)
    args = made.parse_args()
    runs = [
        {
            "name": f"factor {args.factor}-{seed}", "model": args.model.name, "seed": seed,
            "window": None, "windows": args.windows, "texts": args.texts, "length": args.length,
            "passage": args.passage, "near": args.near, "factor": args.factor, "steps": args.steps,
        }
        for seed in args.seeds
    ]  # fmt: skip
    run_all("real_search", args, runs, partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
