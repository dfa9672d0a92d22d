"""Six encodings, trained alike on the same text: which one predicts the next byte best?

Before it compares, this tunes: ``--tune`` trains every encoding briefly, with a seed of its own,
from embeddings (and labels) of several sizes. The comparison starts each encoding from the size
that suited it best.
"""

import argparse
import json
from itertools import product

from common import Place, parser, run_all
from training import ENCODINGS, Model, Schedule, make_model, train, validate

from rope_lib.model import Decoder
from rope_lib.results import best_settings, select

BYTES_A_STEP = 1024
TUNING_SEED = 100


def work(run: dict, place: Place) -> dict:
    """Train one model; its loss is over 65,536 bytes that it never saw."""
    model, curve = trained(run, place, run["name"])
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes_seen": run["steps"] * run["batch"] * run["length"],
        "curve": curve,
        "loss": round(validate(model, run["length"], 65_536 // run["length"]), 5),
    }


def build(run: dict) -> Decoder:
    """The model of a run, at its start."""
    sizes = {key: run[key] for key in ("encoding", "start", "width", "layers", "heads")}
    return make_model(Model(**sizes), run["length"], run["seed"])


def trained(run: dict, place: Place, name: str) -> tuple[Decoder, list]:
    """The same model after training, and its curve; read from the checkpoint if it is there."""
    model = build(run)
    schedule = Schedule(run["length"], run["batch"], run["steps"], run["learning_rate"])
    curve = train(model, schedule, run["seed"], place, name)
    return model, [[step, round(loss, 5)] for step, loss in curve]


def plan(args: argparse.Namespace, starts: dict[str, list[float]]) -> list[dict]:
    """All combinations, one seed after the other, so that a part of the list is a fair part."""
    every = product(args.seeds, args.lengths, args.rates, args.encodings)
    runs = []
    for seed, length, rate, encoding in every:
        for start in starts[encoding]:
            runs.append({
                "name": f"{encoding}-{length}-{rate:g}-{start:g}-{seed}",
                "encoding": encoding, "start": start, "length": length,
                "learning_rate": rate, "seed": seed, "batch": args.bytes_a_step // length,
                "steps": args.steps, "width": args.width, "layers": args.layers,
                "heads": args.heads,
            })  # fmt: skip
    return runs


def best(args: argparse.Namespace, name: str, **wanted) -> dict[str, dict]:
    """For each encoding the size and the learning rate with the lowest loss in a stored result."""
    runs = stored_runs(args, name)
    return {
        encoding: best_settings(
            select(runs, encoding=encoding, **wanted), ("start", "learning_rate")
        )
        for encoding in args.encodings
    }


def stored_runs(args: argparse.Namespace, name: str) -> list[dict]:
    path = args.results / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path} is missing: run compare.py first, and before that with --tune")
    return json.loads(path.read_text("utf-8"))["runs"]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--tune", action="store_true", help="write tune.json and stop")
    made.add_argument("--name", default="compare", help="of the result file")
    made.add_argument("--encodings", nargs="+", default=ENCODINGS, choices=ENCODINGS)
    made.add_argument("--lengths", type=int, nargs="+", default=[64, 256])
    made.add_argument("--rates", type=float, nargs="+", default=[3e-3, 1e-2, 3e-2])
    made.add_argument("--starts", type=float, nargs="+", default=[0.02, 0.1, 0.2, 0.5])
    made.add_argument("--steps", type=int, default=600)
    made.add_argument("--bytes-a-step", type=int, default=BYTES_A_STEP)
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--layers", type=int, default=2)
    made.add_argument("--heads", type=int, default=4)
    args = made.parse_args()
    if args.tune:
        args.seeds = [TUNING_SEED]
        run_all("tune", args, plan(args, dict.fromkeys(args.encodings, args.starts)), work)
    else:
        starts = {encoding: [run["start"]] for encoding, run in best(args, "tune").items()}
        run_all(args.name, args, plan(args, starts), work)


if __name__ == "__main__":
    main()
