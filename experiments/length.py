"""Train at 256 bytes, then read with 512, 1,024 and 2,048: what breaks, and what mends it?

Every score is of the same last 128 bytes of the same 64 held-out pieces; only the text before them
grows. RoPE is scored as trained, through a moving window, with each scaling at two factors, and
after a short fine-tuning on 1,024 bytes, plain, with each scaling, or with another base; the larger
base also with YaRN on top, which nobody tuned. ALiBi and T5's bias are scored as trained. Each
encoding is trained with the learning rate that suited it best in ``compare.json`` at this length.

``longrope`` here means LongRoPE's idea at our size: one factor a pair, found by a small
evolutionary search on training text, where the paper searches with a larger budget and also keeps
the first tokens as they are.
"""

import argparse
from dataclasses import replace
from functools import partial

import torch
from common import Place, finite, parser, run_all
from compare import best, build, fit
from training import Schedule, train

from rope_lib import NTK, Linear, Rescaled, RotaryEmbedding, YaRN, inverse_frequencies
from rope_lib.course.decoder import Decoder, causal_attention, next_token_loss
from rope_lib.course.text import shakespeare, windows

SCALINGS = ("linear", "ntk", "yarn", "longrope")
BASES = {"base_up": 500_000.0, "base_down": 50.0, "yarn_over_base_up": 500_000.0}
SCORED = 128  # bytes at the end of each piece


def work(run: dict, place: Place) -> dict:
    """Train a model, or change a trained one; then score it with more and more text before."""
    model = build(run)
    curve = fit(model, run, place, f"{run['encoding']}-{run['seed']}")
    is_trained_here = run["method"] == "none" and not run["tuned_steps"]
    result = {"curve": curve} if is_trained_here else _change(model, run)
    if run["tuned_steps"]:
        _tune(model, run, place)
    if run["method"] == "yarn_over_base_up":
        model.encoding.scaling = YaRN(2, run["tuned_length"])
    losses = {str(n): finite(score(model, n, run["pieces"])) for n in run["contexts"]}
    return {**result, "losses": losses}


def _change(model: Decoder, run: dict) -> dict:
    """Give a RoPE model other frequencies, or eyes for its last ``length`` bytes only."""
    method, length = run["method"], run["length"]
    if method == "none":
        return {}
    if method == "window":
        for block in model.blocks:
            block.mixer = partial(causal_attention, window=length)
        return {}
    head_dim = run["width"] // run["heads"]
    make = partial(RotaryEmbedding, head_dim, pairing="half")
    if method in BASES:
        model.encoding = make(base=BASES[method])
        return {}
    scaling = {
        "linear": Linear(run["factor"]),
        "ntk": NTK(run["factor"]),
        "yarn": YaRN(run["factor"], length),
    }.get(method)
    if scaling is None:
        scaling = search_factors(model, head_dim, run["factor"], length, run["seed"])
    model.encoding = make(scaling=scaling)
    return {"factors": [round(f, 4) for f in scaling.factors]} if method == "longrope" else {}


def search_factors(
    model: Decoder, head_dim: int, factor: int, length: int, seed: int, rounds: int = 30
) -> Rescaled:
    """One factor a pair, never falling from fast to slow, that suits ``model`` at full length."""
    generator = torch.Generator().manual_seed(seed)
    amplitude = YaRN(factor, length).amplitude
    pieces = windows(shakespeare("train"), factor * length, 8, seed=seed)
    pieces = pieces.to(next(model.parameters()).device)
    plain = inverse_frequencies(head_dim)
    least, found = torch.inf, None
    for tried in range(rounds):
        if tried < 3:
            scaling = (YaRN(factor, length), NTK(factor), Linear(factor))[tried]
            factors = plain / scaling.inverse_frequencies(head_dim, 10_000.0)
        else:
            noise = 0.3 * torch.randn(len(plain), generator=generator, dtype=torch.float64)
            factors = (torch.tensor(found.factors, dtype=torch.float64).log() + noise).exp()
            factors = factors.clamp(1.0, 1.5 * factor).sort().values
        candidate = Rescaled(tuple(factors.tolist()), amplitude)
        model.encoding = RotaryEmbedding(head_dim, pairing="half", scaling=candidate)
        with torch.no_grad():
            loss = next_token_loss(model, pieces, SCORED).item()
        if loss < least:
            least, found = loss, candidate
    return found


def _tune(model: Decoder, run: dict, place: Place) -> None:
    """A short training on longer pieces, at a tenth of the learning rate."""
    schedule = Schedule(
        run["tuned_length"], 2, run["tuned_steps"], run["learning_rate"] / 10, warmup=10
    )
    quiet = replace(place, tick=lambda steps: None)
    train(model, schedule, run["seed"] + 1000, quiet, run["name"])


@torch.no_grad()
def score(model: Decoder, context: int, pieces: int) -> float:
    """Loss over the last bytes of fixed held-out pieces, ``context`` bytes long each."""
    device = next(model.parameters()).device
    text = windows(shakespeare("validation"), 2048, pieces, seed=1)[:, -(context + 1) :].to(device)
    few = max(1, 4096 // context)
    return sum(
        next_token_loss(model, part, SCORED).item() * len(part) for part in text.split(few)
    ) / len(text)


def plan(args: argparse.Namespace) -> tuple[list[dict], list[dict]]:
    """The runs that train, and those that begin with what these leave behind."""
    shared = {
        "length": 256, "batch": args.batch, "steps": args.steps, "width": args.width,
        "layers": args.layers, "heads": 4,
        "contexts": [256, 512, 1024, 2048], "pieces": args.pieces,
    }  # fmt: skip

    settings = best(args, "compare", length=256)

    def run(seed, encoding="rope", method="none", factor=1, tuned_steps=0):
        tuned_length = 1024 if tuned_steps else 0
        name = f"{encoding}-{method}-{factor}-{tuned_steps}-{seed}"
        return {
            "name": name, "encoding": encoding, "method": method, "factor": factor,
            "tuned_steps": tuned_steps, "tuned_length": tuned_length, "seed": seed,
            **settings[encoding], **shared,
        }  # fmt: skip

    first, then = [], []
    for seed in args.seeds:
        first += [run(seed, encoding) for encoding in args.encodings]
        then += [run(seed, method="window")]
        then += [run(seed, method=m, factor=f) for m in SCALINGS for f in (4, 8)]
        then += [run(seed, method=m, factor=4, tuned_steps=args.tuned_steps) for m in SCALINGS]
        then += [
            run(
                seed,
                method=m,
                factor=2 if m == "yarn_over_base_up" else 1,
                tuned_steps=args.tuned_steps,
            )
            for m in ("none", *BASES)
        ]
    return first, then


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--steps", type=int, default=1000)
    made.add_argument("--tuned-steps", type=int, default=100)
    made.add_argument("--batch", type=int, default=8)
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--layers", type=int, default=3)
    made.add_argument("--pieces", type=int, default=64)
    args = made.parse_args()
    args.encodings = ["rope", "alibi", "t5"]
    first, then = plan(args)
    run_all("length", args, first, work, write=False)
    run_all("length", args, first + then, work)


if __name__ == "__main__":
    main()
