"""Which tile a program of rope_lib's kernel should take: tokens, heads and warps, on one GPU.

``rope_lib.kernels.launch.share`` chooses by a rule that was measured on one card. Here every tile
around it is timed at the book's shapes, forward, in rounds whose order is drawn anew, beside a copy
of queries and keys; see ``bench_gpu.py``. Writes ``results/sweep_gpu.json`` after each shape.

    make bench-gpu                                                 after tests and bench
    python benchmarks/sweep_gpu.py --cases decode:64,32/8,1,128:bfloat16
"""

import argparse
import contextlib
import itertools
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "experiments"))  # scripts, not a package: hence the order below

from bench import spread  # noqa: E402
from bench_gpu import CASES, Clock, _graphed, _race, figures, gpu_case, quiet_gpu  # noqa: E402
from checking import error_of, reason  # noqa: E402
from common import command, provenance, write_json  # noqa: E402
from contenders import IN_CACHE, IN_PLACE, LAYERS, Case, Contender, copy_over, ours  # noqa: E402
from pool import Buffers, count, rotating  # noqa: E402
from timing import ratios  # noqa: E402

from rope_lib.kernels import launch  # noqa: E402

ROWS, HEADS, WARPS = (4, 8, 16, 32), (1, 2, 4), (1, 2, 4, 8)
ONE_TOKEN_HEADS = (1, 2, 4, 8, 16)
PER_THREAD = (1, 16)  # pairs of a head that one of 32 threads of a warp may get

Tile = tuple[int, int, int]


def tiles(case: Case) -> list[Tile]:
    """Rows, heads and warps worth a try, the library's own choice among them."""
    pairs = case.head_dim // 2
    one = case.tokens == 1
    every = itertools.product((1,) if one else ROWS, ONE_TOKEN_HEADS if one else HEADS, WARPS)
    least, most = PER_THREAD
    fit = {
        (rows, heads, warps)
        for rows, heads, warps in every
        if heads <= case.heads and least <= rows * pairs / (32 * warps) <= most
    }
    return sorted(fit | {launch.share(case.tokens, pairs)})


@contextlib.contextmanager
def shared_as(tile: Tile) -> Iterator[None]:
    """The library's launches take this tile instead of its own choice."""
    own = launch.share
    launch.share = lambda *sizes, **named: tile
    try:
        yield
    finally:
        launch.share = own


def job_of(tile: Tile, case: Case, device: torch.device, buffers: Buffers):
    """The library's rotation with this tile, checked; one token's inside a graph."""
    contender = Contender(ours("half"), "half")
    inner = contender.make(case, device)

    def turn(q, k):
        with shared_as(tile):
            return inner(q, k)

    error_of(contender, turn, case, device)
    return _timed(turn, contender, case, device, buffers)


def _timed(turn, contender: Contender, case: Case, device: torch.device, buffers: Buffers):
    job = rotating(buffers.of(contender), torch.no_grad()(lambda pair: turn(*pair)), buffers.ring)
    return _graphed(job, device) if case.mode in IN_CACHE else job


def measure(case: Case, device: torch.device, rounds: int) -> dict:
    """Every tile's figures beside a copy's, the quickest first, and the library's own choice."""
    clock, buffers = Clock(device), Buffers(case, device)
    buffers.ring.hold = case.mode not in IN_CACHE
    floor = Contender(copy_over, None, in_place=True)
    jobs, left_out = prepared(case, device, buffers)
    jobs[IN_PLACE] = _timed(copy_over(case, device), floor, case, device, buffers)
    times = _race(jobs, rounds, clock)
    calls = LAYERS if case.mode in IN_CACHE else 1
    found = []
    for tile in jobs.keys() - {IN_PLACE}:
        named = dict(zip(("rows", "heads", "warps"), tile, strict=True))
        copies = ratios(times[tile], times[IN_PLACE])
        found.append({**named, **figures([t / calls for t in times[tile]], case), "copies": copies})
    found.sort(key=lambda each: each["copies"][1])
    own = list(launch.share(case.tokens, case.head_dim // 2))
    return {"own": own, "tiles": found, "left_out": left_out}


def prepared(case: Case, device: torch.device, buffers: Buffers) -> tuple[dict, dict[str, str]]:
    """A job for each tile, and why others have none: a card may lack the room for a tile."""
    jobs, left_out = {}, {}
    for tile in tiles(case):
        try:
            jobs[tile] = job_of(tile, case, device, buffers)
        except Exception as error:
            left_out[str(tile)] = f"{type(error).__name__}: {reason(error)}"
    return jobs, left_out


def shapes() -> list[Case]:
    """The bench's, short ones first; a layer's kernel shares its work as a decoded token's does."""
    cases = [gpu_case(text) for text in CASES]
    return sorted((case for case in cases if case.mode != "layer"), key=lambda case: case.tokens)


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--cases", type=gpu_case, nargs="+", default=shapes())
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument("--limit", type=float, default=80, help="seconds: no case begins later")
    made.add_argument("--results", type=Path, default=HERE / "results", help="folder to write to")
    args = made.parse_args()
    device, began, runs = quiet_gpu("sweep_gpu.py"), time.monotonic(), []
    args.results.mkdir(parents=True, exist_ok=True)
    packages = {"triton": version("triton")}
    result = {"command": command(sys.argv), "packages": packages, "not_reached": [], "runs": runs}
    for case in tqdm(args.cases, unit="case"):
        if time.monotonic() - began > args.limit:
            result["not_reached"].append(case.name)
        else:
            measured = measure(case, device, args.rounds)
            torch.cuda.empty_cache()
            settings = {**vars(case), "rounds": args.rounds, "sets": count(case, device)}
            runs.append({"name": case.name, **settings, **measured})
            runs[-1]["provenance"] = provenance(device)
        write_json(args.results / "sweep_gpu.json", result)  # what is measured is kept
    for run in runs:
        show(run)
    for name in result["not_reached"]:
        print(f"\n{name}: not reached within {args.limit:.0f} s")


def show(run: dict) -> None:
    """The best five and the library's own, in copies, with quartiles in parentheses."""
    print(f"\n{run['name']}: rows, heads, warps")
    for place, found in enumerate(run["tiles"]):
        tile = [found["rows"], found["heads"], found["warps"]]
        if place < 5 or tile == run["own"]:
            own = " the library's" if tile == run["own"] else ""
            print(f"  {tile!s:14} {spread(found['copies'])} copies{own}")
    for tile, why in run["left_out"].items():
        print(f"  {tile:14} left out: {why}")


if __name__ == "__main__":
    main()
