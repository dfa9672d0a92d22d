"""Linear attention, each way at its own learning rate: what do positions and the denominator do?

With a denominator, and elu + 1 as features: no position at all, a learned label, and RoPE in the
numerator only (equation 19 of RoFormer), in numerator and denominator, or on queries and keys
before the features. Without a denominator: each head's sum is normed instead (TransNormer), with
RoPE or without; and its state fades (retention), with RoPE or without. RetNet itself has no
features and adds gates: here only the fading is taken over, so that ways differ in one thing at a
time. FAVOR+ is compared in ``linear.py``, at two learning rates; here it is left out, since it
would double the time.

``--tune`` searches a learning rate for each way, as ``fair.py`` does; and for the learned label a
rate of its own. Without ``--tune`` each way is trained with five other seeds at its best rates. The
size of the embeddings at the start is what suited the encoding best in ``tune.json``.

Said before anything was run:

- The comparisons are those of ``COMPARED``. In each, the first way is *better* (or *worse*) than
  the second if its mean loss, seed by seed, is lower (or higher) and the 95 % interval of that
  paired difference excludes 0. The interval is Student's, over five seeds, and corrected after
  Bonferroni for the number of all these comparisons. A mean difference below 0.01 nats a byte is
  called *no difference*, and a larger one whose interval includes 0 is *undecided*.
- A way is on the *plateau* if the loss of one of its seeds is not at least 0.05 nats below that of
  a bigram table, or its training diverged. It is marked and not ranked. Where the second way of a
  comparison is on the plateau, to be better than it says only that the first has left it.

``rope_lib.course.results.verdict`` applies these rules.

Each model is then asked for its weights on held-out text: how many are negative, and what the rows
sum to, over all queries and for queries at a few positions. With a denominator these are the
weights that values are multiplied by. Without one there are no such shares, and the sums have no
scale: ``negative_share`` counts the weights before the norm, and ``row_sum`` is missing.
``balance`` has the same meaning in both cases: the sum of a row divided by the sum of the absolute
values of its weights, 1 where none is negative and 0 where they cancel.
"""

import argparse
from functools import partial
from statistics import fmean

import linear
import torch
from common import Place, finder, finite, parser, run_all
from compare import TUNING_SEED, best, build, stored_runs
from fair import CURVE_EVERY, bigram_loss, group_losses, held_out_pieces
from mixers import NormedSum
from rivals import LEARNING
from searching import Plan, joined, plan_search, rounds
from torch import nn
from training import Schedule, add_sizes, plays, train

from rope_lib.course.decoder import Decoder
from rope_lib.course.results import best_settings, select
from rope_lib.course.text import shakespeare, windows

TUNED = "linear_tune"
PLACES = {
    "none": {"encoding": "none", "place": None},
    "learned": {"encoding": "learned", "place": None},
    "numerator": {"encoding": "rope", "place": "numerator"},
    "both": {"encoding": "rope", "place": "both"},
    "inputs": {"encoding": "rope", "place": "inputs"},
}
WITH_DENOMINATOR = {
    f"elu_{name}": {"features": "elu", **how, "normed": False, "fading": False}
    for name, how in PLACES.items()
}
WITHOUT = {
    f"{'fading' if fading else 'normed'}_{encoding}": {
        "features": "elu", "encoding": encoding, "place": None, "normed": True, "fading": fading,
    }
    for fading in (False, True)
    for encoding in ("none", "rope")
}  # fmt: skip
WAYS = WITH_DENOMINATOR | WITHOUT
COMPARED = (
    # What a position adds.
    *((f"elu_{name}", "elu_none") for name in PLACES if name != "none"),
    ("normed_rope", "normed_none"),
    ("fading_rope", "fading_none"),
    # What the denominator does, with the same positions.
    ("elu_both", "elu_numerator"),
    ("normed_none", "elu_none"),
    ("normed_rope", "elu_numerator"),
    # A state that fades, instead of none and of RoPE.
    ("fading_none", "normed_none"),
    ("fading_none", "normed_rope"),
)
PLACES_SEEN = (1, 4, 16, 64, 256)  # keys that a query sees, where row sums are stored


def make(run: dict) -> Decoder:
    """A decoder whose attention is linear."""
    return build(run, NormedSum(run["fading"])) if run["normed"] else linear.make(run)


def work(run: dict, place: Place) -> dict:
    """Train one model, score it on bytes that it never saw, and look at its weights on them."""
    model = make(run)
    schedule = Schedule(
        run["length"], run["batch"], run["steps"], run["learning_rate"], own=run["own"]
    )
    curve = train(model, schedule, run["seed"], place, run["name"], curve_every=CURVE_EVERY)
    pieces = held_out_pieces(plays(), run["length"])
    losses = group_losses(model, pieces)
    return {
        "curve": [[step, finite(loss)] for step, loss in curve],
        "loss": finite(fmean(losses)),
        "group_losses": [finite(loss) for loss in losses],
        "bigram": finite(bigram_loss(plays(), pieces)),
        **weights_seen(model, run),
    }


@torch.no_grad()
def weights_seen(model: nn.Module, run: dict) -> dict:
    """What the weights of all layers are like; the three numbers are least, median and greatest."""
    weights = weights_of(model, run).double()
    allowed = torch.ones(weights.shape[-2:], dtype=torch.bool, device=weights.device).tril()
    sums, sizes = weights.sum(dim=-1), weights.abs().sum(dim=-1)
    found = {
        "negative_share": finite((weights[..., allowed] < 0).double().mean().item()),
        "balance": _three(sums / sizes),
    }
    if not run["normed"]:
        seen = [keys for keys in PLACES_SEEN if keys <= run["length"]]
        means = [finite(sums[..., keys - 1].mean().item()) for keys in seen]
        found |= {
            "row_sum": _three(sums),
            "row_sum_by_keys": [list(x) for x in zip(seen, means, strict=True)],
        }
    return found


def _three(x: torch.Tensor) -> list[float | None]:
    return [finite(y.item()) for y in (x.min(), x.median(), x.max())]


def weights_of(model: nn.Module, run: dict) -> torch.Tensor:
    """``(layers, pieces, heads, seq, seq)`` on four held-out pieces."""
    pieces = windows(shakespeare("validation"), run["length"], 4, seed=2)[:, :-1]
    seen = []

    def look(q, k, v, *, encoding, positions, mixer):
        how = {"encoding": encoding, "positions": positions}
        if run["normed"]:
            seen.append(mixer.weights(q, k, **how))
        else:  # with the unit matrix as values, what comes out is the weights themselves
            unit = torch.eye(q.shape[-2], device=q.device).expand(*q.shape[:2], -1, -1)
            seen.append(mixer(q, k, unit, **how))
        return mixer(q, k, v, **how)

    mixers = [block.mixer for block in model.blocks]
    for block in model.blocks:
        block.mixer = partial(look, mixer=block.mixer)
    model(pieces.to(next(model.parameters()).device))
    for block, mixer in zip(model.blocks, mixers, strict=True):
        block.mixer = mixer
    return torch.stack(seen)


def run_of(args: argparse.Namespace, way: str, seed: int, **found) -> dict:
    """The settings of a run; ``found`` are its start, learning rate and ``own``."""
    return {
        "name": f"{way}-{found['learning_rate']:g}-{found['own']:g}-{seed}", "way": way,
        **WAYS[way], **found, "seed": seed, **sizes(args),
    }  # fmt: skip


def sizes(args: argparse.Namespace) -> dict[str, int]:
    keys = ("length", "batch", "steps", "width", "layers", "heads")
    return {key: getattr(args, key) for key in keys}


def plan_tuning(args: argparse.Namespace) -> Plan:
    """All runs that the searches look at, as far as losses are known; those still to be done."""
    find = finder(TUNED, args)
    encodings = sorted({WAYS[way]["encoding"] for way in args.ways})
    start = best(argparse.Namespace(results=args.results, encodings=encodings), "tune")

    def plan_one(way: str) -> Plan:
        encoding = WAYS[way]["encoding"]

        def settings(rate: float, own: float) -> dict:
            found = {"start": start[encoding]["start"], "learning_rate": rate, "own": own}
            return run_of(args, way, TUNING_SEED, **found)

        return plan_search(settings, find, encoding in LEARNING)

    return joined([plan_one(way) for way in args.ways])


def tune(args: argparse.Namespace) -> None:
    """Rounds of runs, those of all searches together, until no search needs another one."""
    for missing in rounds(partial(plan_tuning, args)):
        run_all(TUNED, args, missing, work, write=False)
    run_all(TUNED, args, plan_tuning(args)[0], work)


def plan(args: argparse.Namespace) -> list[dict]:
    """Every way at its best rates, one seed after the other."""
    tuned = stored_runs(args, TUNED, "run linear_rates.py with --tune first")
    by = ("start", "learning_rate", "own")
    found = {way: best_settings(select(tuned, way=way, **sizes(args)), by) for way in args.ways}
    return [run_of(args, way, seed, **found[way]) for seed in args.seeds for way in args.ways]


def main() -> None:
    made = parser(__doc__)
    add_sizes(made, steps=1200)
    made.add_argument("--tune", action="store_true", help="write linear_tune.json and stop")
    made.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    made.add_argument("--length", type=int, default=256)
    args = made.parse_args()
    if args.tune:
        tune(args)
    else:
        run_all("linear_rates", args, plan(args), work)


if __name__ == "__main__":
    main()
