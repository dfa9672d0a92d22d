"""Linear attention with and without positions: does turning the features help, and at what price?

Two kinds of features (elu + 1, and FAVOR+ with 64 random ones), and five ways to say where a byte
stands: not at all, a learned label, and RoPE in the numerator only (equation 19 of RoFormer), in
numerator and denominator, or on queries and keys before the features. Each model is then asked for
its weights: how many are negative, and what do the rows sum to?
"""

import argparse
from functools import partial
from itertools import product

import torch
from common import Place, finite, parser, run_all
from compare import best, build, fit
from torch import nn
from training import validate

from rope_lib import RotaryEmbedding
from rope_lib.course.linear_attention import FavorFeatures, elu_plus_one, linear_attention
from rope_lib.course.text import shakespeare, windows

FAVOR_FEATURES = 64
WAYS = (
    ("none", None),
    ("learned", None),
    ("rope", "numerator"),
    ("rope", "both"),
    ("rope", "inputs"),
)


def make(run: dict) -> nn.Module:
    """A decoder whose attention is linear."""
    head_dim = run["width"] // run["heads"]
    favor = FavorFeatures(head_dim, FAVOR_FEATURES, seed=run["seed"])
    features = {"elu": elu_plus_one, "favor": favor}[run["features"]]
    mixer = partial(linear_attention, causal=True, features=features, place=run["place"])
    model = build(run, mixer)
    if run["features"] == "favor" and run["place"] in ("numerator", "both"):
        model.encoding = RotaryEmbedding(FAVOR_FEATURES, pairing="half")  # it turns the features
    return model


def work(run: dict, place: Place) -> dict:
    """Train one model, and look at its weights on held-out text."""
    model = make(run)
    curve = fit(model, run, place, run["name"])
    loss = finite(validate(model, run["length"], 65_536 // run["length"]))
    return {
        "curve": curve,
        "loss": loss,
        "diverged": loss is None,
        **weights_seen(model, run),
    }


@torch.no_grad()
def weights_seen(model: nn.Module, run: dict) -> dict:
    """The share of negative weights, and the least, median and greatest sum of a row."""
    pieces = windows(shakespeare("validation"), run["length"], 4, seed=2)[:, :-1]
    seen = []

    def look(q, k, v, *, encoding, positions, mixer):
        # With the unit matrix as values, what comes out is the weights themselves.
        unit = torch.eye(q.shape[-2], device=q.device).expand(*q.shape[:2], -1, -1)
        seen.append(mixer(q, k, unit, encoding=encoding, positions=positions))
        return mixer(q, k, v, encoding=encoding, positions=positions)

    for block in model.blocks:
        block.mixer = partial(look, mixer=block.mixer)
    model(pieces.to(next(model.parameters()).device))
    weights = torch.stack(seen).double()
    allowed = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device).tril()
    sums = weights.sum(dim=-1)
    return {
        "negative_share": finite((weights[..., allowed] < 0).double().mean().item()),
        "row_sum": [finite(x.item()) for x in (sums.min(), sums.median(), sums.max())],
    }


def plan(args: argparse.Namespace, starts: dict[str, float]) -> list[dict]:
    """All combinations, one learning rate after the other."""
    every = product(args.rates, args.seeds, ("elu", "favor"), WAYS)
    return [
        {
            "name": f"{features}-{encoding}-{place}-{rate:g}-{seed}",
            "features": features, "encoding": encoding, "place": place, "seed": seed,
            "learning_rate": rate, "start": starts[encoding], "length": 256,
            "batch": 4, "steps": args.steps, "width": 128, "layers": 2, "heads": 4,
        }
        for rate, seed, features, (encoding, place) in every
    ]  # fmt: skip


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--rates", type=float, nargs="+", default=[3e-3, 1e-2])
    made.add_argument("--steps", type=int, default=600)
    args = made.parse_args()
    args.encodings = ["none", "learned", "rope"]
    starts = {name: run["start"] for name, run in best(args, "tune").items()}
    run_all("linear", args, plan(args, starts), work)


if __name__ == "__main__":
    main()
