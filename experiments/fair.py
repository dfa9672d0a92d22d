"""Eleven position encodings, each at the learning rates that suit it best: which predicts best?

``--tune`` searches, for each encoding and length, a learning rate and a factor ``own`` that the
rate is multiplied by for the encoding's own parameters (tables of positions or distances, phases),
which have no weight decay. The search walks on a grid of factors of 2, with one seed, until no
neighbour of the best point is better. The size of the embeddings at the start is what suited the
encoding best in ``tune.json`` (from ``compare.py --tune``); variants of RoPE and PoPE take RoPE's,
``t5_paper`` takes T5's.

Without ``--tune`` each encoding is trained with five other seeds at its best point. All train with
the same batch and number of steps at every length, so a longer text also means that more bytes are
seen: lengths are not compared with each other.

Said before anything was run:

- An encoding is *better* (or *worse*) than RoPE at a length if its mean loss, seed by seed, is
  lower (or higher), and the 95 % interval of that paired difference excludes 0. The interval is
  Student's, over five seeds, and corrected after Bonferroni for the 10 comparisons with RoPE at
  that length: each has the level 1 - 0.05 / 10.
- A difference below 0.01 nats a byte is called *no difference*, whatever the interval says. A
  larger one whose interval includes 0 is *undecided*.
- An encoding is on the *plateau* if the loss of one of its seeds is not at least 0.05 nats below
  that of a bigram table, counted on the training text and scored on the same held-out bytes; a
  training that diverged counts as that. Such an encoding is marked and not ranked, since it had not
  yet learnt to use more than the last byte.

``rope_lib.course.results.verdict`` applies these rules.
"""

import argparse
from functools import partial
from itertools import product
from statistics import fmean

import torch
from common import Place, finder, finite, parser, run_all
from compare import TUNING_SEED, best, stored_runs
from rivals import LEARNING, RIVALS, make_rival
from searching import Plan, joined, plan_search, rounds
from training import ENCODINGS, Model, Schedule, Texts, add_sizes, plays, read_texts, train

from rope_lib.course.decoder import BYTES, Decoder, next_token_loss
from rope_lib.course.results import best_settings, select
from rope_lib.course.text import windows

HELD_OUT = 65_536  # bytes
GROUPS = 16  # of held-out pieces
CURVE_EVERY = 300
# Whose size of the embeddings at the start, found in tune.json, an encoding takes.
START_OF = {"t5_paper": "t5", **dict.fromkeys(RIVALS[len(ENCODINGS) + 1 :], "rope")}


def work(run: dict, place: Place) -> dict:
    """Train one model; score it on bytes that it never saw, in all and by stretches of the text."""
    texts = read_texts(place.folder.parent / run["text"]) if "text" in run else plays()
    model = build(run)
    schedule = Schedule(
        run["length"], run["batch"], run["steps"], run["learning_rate"], own=run["own"]
    )
    curve = train(
        model, schedule, run["seed"], place, run["name"], texts=texts, curve_every=CURVE_EVERY
    )
    pieces = held_out_pieces(texts, run["length"])
    losses = group_losses(model, pieces)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes_seen": run["steps"] * run["batch"] * run["length"],
        "curve": [[step, finite(loss)] for step, loss in curve],
        "loss": finite(fmean(losses)),
        "group_losses": [finite(loss) for loss in losses],
        "bigram": finite(bigram_loss(texts, pieces)),
        "largest_pair": largest_pairs(model, pieces),
    }


def build(run: dict) -> Decoder:
    """The model of a run, at its start."""
    sizes = {key: run[key] for key in ("encoding", "start", "width", "layers", "heads")}
    return make_rival(Model(**sizes), run["length"], run["seed"])


def held_out_pieces(texts: Texts, length: int) -> torch.Tensor:
    """The pieces that ``compare.py`` scores too, ``(pieces, length + 1)``, in the text's order.

    Groups of neighbours are stretches of the text; so losses by group also show how much the loss
    depends on the text.
    """
    text, count = texts[1], HELD_OUT // length
    places = windows(torch.arange(len(text)), length, count, seed=0)[:, 0]
    return windows(text, length, count, seed=0)[places.argsort()]


@torch.no_grad()
def group_losses(model: Decoder, pieces: torch.Tensor) -> list[float]:
    """Loss in nats a byte of each of the groups of held-out pieces, which are equally large."""
    device = next(model.parameters()).device
    return [next_token_loss(model, group.to(device)).item() for group in pieces.chunk(GROUPS)]


@torch.no_grad()
def largest_pairs(model: Decoder, pieces: torch.Tensor) -> dict[str, list]:
    """How much longer than the median the longest pair is, ``[layer][head]`` for q, k and v.

    Massive values (arXiv 2502.01563) are such pairs. Pairs are those that a half-split rotation
    would turn, also where the encoding turns nothing; lengths are means over held-out text.
    """
    seen: list[tuple[torch.Tensor, ...]] = []
    hooks = [
        block.register_forward_pre_hook(
            lambda block, given: seen.append(block.queries_keys_values(given[0]))
        )
        for block in model.blocks
    ]
    model(pieces[:16, :-1].to(next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return {
        name: [_largest(layer[number]) for layer in seen]
        for number, name in enumerate(("queries", "keys", "values"))
    }


def _largest(x: torch.Tensor) -> list[float | None]:
    """By head, from ``(batch, heads, seq, head_dim)``."""
    lengths = torch.stack(x.chunk(2, dim=-1), dim=-1).norm(dim=-1).mean(dim=(0, 2))
    ratios = lengths.max(dim=-1).values / lengths.median(dim=-1).values
    return [finite(ratio, 3) for ratio in ratios.tolist()]


def bigram_loss(texts: Texts, pieces: torch.Tensor) -> float:
    """Loss on held-out pieces of a table that knows the last byte only.

    Its probabilities are shares of the pairs of bytes in the training text. Each pair is counted
    once more than it occurs, so that none is impossible.
    """
    text, pieces = texts[0].long(), pieces.long()
    pairs = torch.bincount(BYTES * text[:-1] + text[1:], minlength=BYTES**2).double()
    counts = pairs.view(BYTES, BYTES) + 1
    surprise = -(counts / counts.sum(1, keepdim=True)).log()
    return surprise[pieces[:, :-1], pieces[:, 1:]].mean().item()


def run_of(args: argparse.Namespace, encoding: str, length: int, seed: int, **found) -> dict:
    """The settings of a run; ``found`` are its start, learning rate and ``own``."""
    rate, own = found["learning_rate"], found["own"]
    return {
        "name": f"{encoding}-{length}-{rate:g}-{own:g}-{seed}",
        "encoding": encoding, "length": length, **found, "seed": seed, "batch": args.batch,
        "steps": args.steps, "width": args.width, "layers": args.layers, "heads": args.heads,
        **({"text": args.text} if args.text else {}),
    }  # fmt: skip


def starts(args: argparse.Namespace) -> dict[str, float]:
    """For each encoding the size of the embeddings that suited it, or its next of kin, best."""
    kin = {encoding: START_OF.get(encoding, encoding) for encoding in args.encodings}
    wanted = argparse.Namespace(results=args.results, encodings=sorted(set(kin.values())))
    tuned = best(wanted, "tune")
    return {encoding: tuned[kin[encoding]]["start"] for encoding in args.encodings}


def plan_tuning(args: argparse.Namespace) -> Plan:
    """All runs that the searches look at, as far as losses are known; those still to be done."""
    find, start = finder(f"{args.name}_tune", args), starts(args)

    def plan_one(length: int, encoding: str) -> Plan:
        def settings(rate: float, own: float) -> dict:
            found = {"start": start[encoding], "learning_rate": rate, "own": own}
            return run_of(args, encoding, length, TUNING_SEED, **found)

        return plan_search(settings, find, encoding in LEARNING)

    return joined([plan_one(*each) for each in product(args.lengths, args.encodings)])


def tune(args: argparse.Namespace) -> None:
    """Rounds of runs, those of all searches together, until no search needs another one."""
    name = f"{args.name}_tune"
    for missing in rounds(partial(plan_tuning, args)):
        run_all(name, args, missing, work, write=False)
    run_all(name, args, plan_tuning(args)[0], work)


def plan(args: argparse.Namespace) -> list[dict]:
    """Every encoding at its best point, one seed after the other."""
    tuned = stored_runs(args, f"{args.name}_tune", "run fair.py with --tune first")
    by = ("start", "learning_rate", "own")
    sizes = {key: getattr(args, key) for key in ("batch", "steps", "width", "layers", "heads")}
    found = {
        (length, encoding): best_settings(
            select(tuned, length=length, encoding=encoding, **sizes), by
        )
        for length, encoding in product(args.lengths, args.encodings)
    }
    return [
        run_of(args, encoding, length, seed, **found[length, encoding])
        for seed, length, encoding in product(args.seeds, args.lengths, args.encodings)
    ]


def main() -> None:
    made = parser(__doc__)
    add_sizes(made, steps=1800)
    made.add_argument("--tune", action="store_true", help="search rates and stop")
    made.add_argument("--name", default="fair", help="of the results: NAME_tune.json and NAME.json")
    made.add_argument("--text", help="a file in the work folder, instead of the plays")
    made.add_argument("--encodings", nargs="+", default=RIVALS, choices=RIVALS)
    made.add_argument("--lengths", type=int, nargs="+", default=[64, 256])
    args = made.parse_args()
    if args.tune:
        tune(args)
    else:
        run_all(args.name, args, plan(args), work)


if __name__ == "__main__":
    main()
