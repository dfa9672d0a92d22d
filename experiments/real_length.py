"""Past the trained length, on a real model: what breaks, what mends it, and what was the cause?

Every way to read looks back from the *same passage* on the *same keys and values*. The text before
the passage is read once, through a window of 2,048 tokens that keeps the first four of the text in
sight, so that no token of it was read at a distance the model does not know. Keys are kept without
rotation. Then, for each length, the passage and some questions are read after the first four tokens
and the last ones of the text, with the rotation, scaling or mask of each way. So the ways differ in
nothing but how the passage looks back. (``real_whole.py`` reads whole texts in each way.)

Measured: loss over the passage in nats a token, and for numbers that were planted at several
distances, nats a digit and whether all digits were found.

The causes, each with the others held still:

- *unseen distances*: always the same keys, as many as at the shortest length. The farther half of
  them is moved away, or the first four, or both; then again with distances clamped.
- *too many keys*: more and more keys, with distances clamped to what even the shortest length has.
- *which pairs*: all lengths with distances clamped only in the slow pairs, which do not finish a
  turn within the trained length, and only in the fast ones. In the first case no pair meets an
  angle that it never met in training, though angles still meet in new combinations (aliases). Slow
  pairs that are frozen, so that they do not turn at all, meet no new angle either.

What would count as better than plain: the mean difference of the losses over the windows has a 95 %
interval below 0, corrected for the number of ways compared at that length.
"""

import argparse
from functools import partial

import passages
import real
import torch
import ways
from common import Place, run_all
from compare import stored_runs
from llama import Llama
from memory import Memory, Way, read
from passages import Window

SINKS = 4
BEGINNINGS = 3  # trials of real_search.py that are no search yet: YaRN, NTK and linear scaling


def work(run: dict, place: Place, *, folder: str) -> dict:
    """All ways and all controls on one window."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    longest = max(run["lengths"])
    window = real.window(run, path, longest, run["passage"], tuple(run["distances"]))
    plain = ways.scaled(model.sizes)
    _, memory = read(model, window.text, ways.window_with_sinks(plain, run["near"], SINKS))
    found = {"ways": {}, "pairs": {}}
    for length in run["lengths"]:
        kept = shortened(memory, length)
        compared = compared_ways(model, run, length)
        asked = asked_within(window, length)
        for part, tried in (("ways", compared), ("pairs", _pairs(model, plain))):
            for name, way in chosen(tried, run).items():
                answer = passages.ask(model, asked, way, kept)
                found[part].setdefault(name, {})[str(length)] = answer
        place.tick(1)
    if "only_ways" not in run:
        found["moved away"] = _moved_away(run, model, window, memory, plain)
    return real.rounded(found)


def compared_ways(model: Llama, run: dict, length: int) -> dict[str, Way]:
    """Every way for the run's factor, or for each of several, which then stands in the name."""
    if "factors" not in run:
        return ways.catalogue(model.sizes, run["factor"], length, tuple(run["searched"]))
    return {
        f"{name}, {factor}": way
        for factor in run["factors"]
        for name, way in ways.catalogue(model.sizes, factor, length).items()
    }


def chosen(tried: dict[str, Way], run: dict) -> dict[str, Way]:
    """Those of the ways that the run asks for; all if it does not say."""
    return {name: way for name, way in tried.items() if name in run.get("only_ways", tried)}


def shortened(memory: Memory, length: int) -> Memory:
    """The first tokens and the last ones, ``length`` in all, as if nothing had been between."""
    whole = len(memory)
    rows = torch.cat((torch.arange(SINKS), torch.arange(whole - length + SINKS, whole)))
    return memory.take(rows, torch.arange(length))


def asked_within(window: Window, length: int) -> Window:
    """Only the questions whose answer stands in the last ``length`` tokens."""
    near = [question for question in window.questions if question.distance < length - SINKS]
    return Window(window.text, window.passage, near)


def _pairs(model: Llama, plain: Way) -> dict[str, Way]:
    """Distances clamped in some pairs only, and slow pairs that do not turn."""
    trained = model.sizes.trained_length
    return {
        "slow pairs clamped": ways.slow_pairs_clamped(plain, trained),
        "fast pairs clamped": ways.fast_pairs_clamped(plain, trained),
        "slow pairs frozen": ways.slow_pairs_frozen(plain, trained),
    }


MOVED = {  # which of the nearest keys are moved away
    "first": lambda row, half: row < SINKS,
    "far half": lambda row, half: (row >= SINKS) & (row < half),
    "first and far half": lambda row, half: row < half,
}


def _moved_away(run: dict, model: Llama, window: Window, memory: Memory, plain: Way) -> dict:
    """The keys of the shortest length, some of them at larger and larger distances."""
    shortest = min(run["lengths"])
    kept, asked = shortened(memory, shortest), asked_within(window, shortest)
    clamped = ways.clamped(plain, shortest // 2)
    tried = [(what, what, plain) for what in MOVED]
    tried.append(("first and far half, clamped", "first and far half", clamped))
    found = {}
    for name, what, way in tried:
        found[name] = {}
        for length in run["lengths"]:
            moved = move(kept, what, length)
            found[name][str(length)] = passages.ask(model, asked, way, moved)
    return found


def move(memory: Memory, what: str, length: int) -> Memory:
    """Some keys of ``memory`` as far from what follows as they would be after ``length`` tokens."""
    rows = torch.arange(len(memory))
    far = length - len(memory)
    positions = torch.where(MOVED[what](rows, len(memory) // 2), rows, rows + far)
    order = positions.argsort()
    return memory.take(order, positions[order])


def searched(args: argparse.Namespace) -> list[float]:
    """The factors that ``real_search.py`` found, or none: then that way is left out.

    It is left out, too, where no trial was better than the scalings that the search began with.
    """
    path = args.results / "real_search.json"
    stored = stored_runs(args, "real_search") if path.exists() else []
    made_for = [run for run in stored if run["factor"] == args.factor]
    if not made_for:
        return []
    (run,) = made_for
    best = run["losses"].index(min(run["losses"]))
    return run["factors"] if best >= BEGINNINGS else []


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192, 16384, 32768])
    made.add_argument("--passage", type=int, default=128)
    made.add_argument(
        "--distances", type=int, nargs="+", default=[28_000, 12_000, 6_000, 3_000, 1_500, 700]
    )
    made.add_argument("--near", type=int, default=ways.NEAR, help="the window of the reading")
    made.add_argument("--factor", type=int, default=4)
    made.add_argument("--factors", type=int, nargs="+", help="several; a way is then NAME, FACTOR")
    made.add_argument("--name", default="real_length", help="of the result file")
    made.add_argument("--ways", nargs="+", help="only these, without the controls")
    args = made.parse_args()
    only = {"only_ways": args.ways} if args.ways else {}
    only |= {"factors": args.factors} if args.factors else {}
    runs = real.plan(
        args, lengths=args.lengths, passage=args.passage, distances=args.distances,
        near=args.near, factor=args.factor, searched=searched(args),
        steps=len(args.lengths), **only,
    )  # fmt: skip
    run_all(args.name, args, runs, partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
