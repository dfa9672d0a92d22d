"""Whole texts read each way: the loss by position, and what is found again at the end.

``real_length.py`` lets only a passage look back in each way, on keys that were read within the
trained length. Here the model reads every token that way, from the first, as people run it. The
loss is shown by position, over the last tokens of every chunk of 1,024, and for a passage and
planted numbers at the end.

With ``--length 2048 --name real_short`` the same measures what the scalings cost on texts that
never needed them.

What would count as better (or as a price): the mean difference from plain over the windows has a
95 % interval below (above) 0, corrected for the number of ways.
"""

import argparse
from functools import partial

import passages
import real
import torch
import ways
from common import Place, run_all
from memory import CHUNK, Memory, read
from torch.nn.functional import cross_entropy

SCORED = 128  # tokens at the end of each chunk


def work(run: dict, place: Place, *, folder: str) -> dict:
    """One window, read in one way."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    window = real.window(run, path, run["length"], run["passage"], tuple(run["distances"]))
    way = ways.catalogue(model.sizes, run["factor"], run["length"])[run["way"]]
    memory, by_position = Memory(), []
    for chunk in window.text.split(CHUNK):
        x, memory = read(model, chunk, way, memory)
        with torch.no_grad():
            scores = model.scores(x[-SCORED - 1 : -1]).cpu()
        by_position.append(cross_entropy(scores, chunk[-len(scores) :]).item())
        place.tick(1)
    answer = passages.ask(model, window, way, memory)
    return real.rounded({"by_position": by_position, **answer})


def plan(args: argparse.Namespace) -> list[dict]:
    """Every way for a window before the next window, so that what is finished is paired."""
    settings = {
        "length": args.length, "passage": args.passage, "distances": args.distances,
        "steps": -(-args.length // CHUNK),
    }  # fmt: skip
    return [
        {**run, "name": f"{way}, {factor}-{run['name']}", "way": way, "factor": factor}
        for run in real.plan(args, **settings)
        for factor in args.factors
        for way in args.ways
        if way != "plain" or factor == args.factors[0]
    ]


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--name", default="real_whole", help="of the result file")
    made.add_argument("--length", type=int, default=12_288, help="tokens before the passage")
    made.add_argument("--passage", type=int, default=256)
    made.add_argument("--distances", type=int, nargs="+", default=[11_000, 6_000, 2_000, 500])
    made.add_argument("--factors", type=int, nargs="+", default=[2])
    made.add_argument(
        "--ways", nargs="+", default=["plain", "YaRN", "clamped", "window", "window and first"]
    )
    args = made.parse_args()
    run_all(args.name, args, plan(args), partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
