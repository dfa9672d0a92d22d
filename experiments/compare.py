"""Six encodings, trained alike on the same text: which one predicts the next byte best?

Before it compares, this tunes: ``--tune`` trains every encoding briefly, with a seed of its own,
from embeddings (and labels) of several sizes. The comparison starts each encoding from the size
that suited it best. ``--best-of compare`` repeats each encoding's best setting, for a longer
training.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from itertools import product

from common import Place, finite, parser, run_all
from training import (
    ENCODINGS,
    Model,
    Schedule,
    Texts,
    make_model,
    plays,
    read_texts,
    train,
    validate,
)

from rope_lib.course.decoder import Decoder, Mixer, causal_attention
from rope_lib.course.results import best_settings, select

BYTES_A_STEP = 1024
TUNING_SEED = 100
# For an encoding and a length: pairs of a learning rate and a size of the embeddings.
Settings = Callable[[str, int], Iterable[tuple[float, float]]]


def work(run: dict, place: Place) -> dict:
    """Train one model; its loss is over 65,536 bytes that it never saw."""
    texts = read_texts(place.folder.parent / run["text"]) if "text" in run else plays()
    model = build(run)
    curve = fit(model, run, place, run["name"], texts)
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes_seen": run["steps"] * run["batch"] * run["length"],
        "curve": curve,
        "loss": finite(validate(model, run["length"], 65_536 // run["length"], text=texts[1])),
    }


def build(run: dict, mixer: Mixer = causal_attention) -> Decoder:
    """The model of a run, at its start."""
    sizes = {key: run[key] for key in ("encoding", "start", "width", "layers", "heads")}
    return make_model(Model(**sizes), run["length"], run["seed"], mixer)


def fit(model: Decoder, run: dict, place: Place, name: str, texts: Texts | None = None) -> list:
    """Train the model as the run says, or read it from its checkpoint; returns its curve."""
    schedule = Schedule(run["length"], run["batch"], run["steps"], run["learning_rate"])
    curve = train(model, schedule, run["seed"], place, name, texts=texts)
    return [[step, finite(loss)] for step, loss in curve]


def plan(args: argparse.Namespace, settings: Settings) -> list[dict]:
    """One seed after the other and all rates of a length, so that a part of it is a fair part."""
    runs = []
    for seed, length in product(args.seeds, args.lengths):
        choices = [(*pair, encoding) for encoding in args.encodings
                   for pair in settings(encoding, length)]  # fmt: skip
        for rate, start, encoding in sorted(choices, key=lambda choice: choice[0]):
            runs.append({
                "name": f"{encoding}-{length}-{rate:g}-{start:g}-{seed}",
                "encoding": encoding, "start": start, "length": length,
                "learning_rate": rate, "seed": seed, "batch": args.bytes_a_step // length,
                "steps": args.steps, "width": args.width, "layers": args.layers,
                "heads": args.heads, **({"text": args.text} if args.text else {}),
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


def stored_runs(
    args: argparse.Namespace,
    name: str,
    first: str = "run compare.py first, and before that with --tune",
) -> list[dict]:
    path = args.results / f"{name}.json"
    if not path.exists():
        raise SystemExit(f"{path} is missing: {first}")
    return json.loads(path.read_text("utf-8"))["runs"]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--tune", action="store_true", help="write tune.json and stop")
    made.add_argument("--name", default="compare", help="of the result file")
    made.add_argument("--encodings", nargs="+", default=ENCODINGS, choices=ENCODINGS)
    made.add_argument("--lengths", type=int, nargs="+", default=[64, 256])
    made.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3, 1e-2, 3e-2])
    made.add_argument("--best-of", help="a result: take each encoding's best rate and size from it")
    made.add_argument("--starts", type=float, nargs="+", default=[0.02, 0.1, 0.2, 0.5])
    made.add_argument("--text", help="a file in the work folder, instead of the plays")
    made.add_argument("--steps", type=int, default=600)
    made.add_argument("--bytes-a-step", type=int, default=BYTES_A_STEP)
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--layers", type=int, default=2)
    made.add_argument("--heads", type=int, default=4)
    args = made.parse_args()
    if args.text and not (args.work / args.text).is_file():
        raise SystemExit(f"--text names {args.text!r}, but there is no such file in {args.work}")
    if args.tune:
        args.name, args.seeds = "tune", [TUNING_SEED]
        runs = plan(args, lambda encoding, length: product(args.rates, args.starts))
    elif args.best_of:
        found = {length: best(args, args.best_of, length=length) for length in args.lengths}
        runs = plan(args, lambda encoding, length: [_pair(found[length][encoding])])
    else:
        tuned = best(args, "tune")
        runs = plan(args, lambda encoding, length: product(args.rates, [tuned[encoding]["start"]]))
    run_all(args.name, args, runs, work)


def _pair(settings: dict) -> tuple[float, float]:
    return settings["learning_rate"], settings["start"]


if __name__ == "__main__":
    main()
