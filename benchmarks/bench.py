"""How fast RoPE is on a CPU: rope_lib beside other libraries, adding a vector, and a copy.

One process. Everyone's result is compared with float64 before a clock runs. Then all take turns, in
an order that is drawn anew each round, and times are divided within a round: by a copy of queries
and keys (``clone`` where results are new, ``copy_`` where they are not; in training one copy
forward and one backward), in place also by a multiplication by one (``mul_``), and whole decode
steps by transformers'. Long texts come from memory and a single token from the cache, see
``pool.py``. Medians stand with quartiles. Writes ``results/bench.json`` and ``results/bench.svg``.

    make bench                                       the cases of the book, about five minutes
    python benchmarks/bench.py --cases prefill:2,8,1024,96:float32 --only rope_lib
"""

import argparse
import importlib.metadata
import logging
import sys
import warnings
from pathlib import Path

import torch
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "experiments"))  # scripts, not a package: hence the order below

from checking import admitted, memory_of  # noqa: E402
from common import command, provenance, write_json  # noqa: E402
from contenders import (  # noqa: E402
    ADD,
    CONTENDERS,
    IN_CACHE,
    IN_PLACE,
    MULTIPLY,
    NEW,
    THEIR_STEP,
    Case,
    Contender,
    Turn,
    clone,
)
from pool import Buffers, count, keep_freed_memory, last_cache, rotating  # noqa: E402
from timing import quartiles, race, ratios  # noqa: E402

SHAPES = (
    "prefill:1,32,2048,128", "training:8,12,512,64", "training:1,32,2048,128",
    "decode:1,32/8,1,128", "step:1,32/8,1,128",
)  # fmt: skip
CASES = [f"{shape}:{dtype}" for shape in SHAPES for dtype in ("float32", "bfloat16")]
FIRST = 1000  # position of a decoded token: at 0 nothing turns
MODES = ("prefill", "training", "decode", "step")
STEP = ("step",)
SHORT = 3  # times as many rounds where a call takes microseconds


def parse_case(text: str, modes: tuple[str, ...] = MODES) -> Case:
    """``mode:batch,heads,tokens,head_dim:dtype``; heads may be ``32/8``, for queries and keys.

    Raises:
        argparse.ArgumentTypeError: anything else.
    """
    try:
        mode, shape, dtype = text.split(":")
        batch, heads, tokens, width = shape.split(",")
        q_heads, _, kv_heads = heads.partition("/")
        sizes = [int(n) for n in (batch, q_heads, kv_heads or q_heads, tokens, width)]
        kind = getattr(torch, dtype, None)
        known = mode in modes and isinstance(kind, torch.dtype)
        if known and kind.is_floating_point and min(sizes) > 0 and sizes[-1] % 2 == 0:
            return Case(mode, *sizes, dtype, first=FIRST if mode in IN_CACHE else 0)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not mode:batch,heads,tokens,head_dim:dtype, such as "
        f"prefill:1,32,2048,128:float32, with one of the modes {', '.join(modes)}"
    )


def measure(case: Case, only: str, rounds: int, device: torch.device) -> dict:
    """Check and time everyone in one case.

    Returns:
        ``contenders``, by name: milliseconds and ratios as quartiles, error, memory; and
        ``left_out``, by name: why. Who is not installed, or wrong, is not timed.

    Raises:
        WrongError: rope_lib itself does not compute a rotation; nothing has been timed.
    """
    torch.manual_seed(0)
    torch._dynamo.reset()
    known = {
        name: contender
        for name, contender in CONTENDERS.items()
        if contender.pairing is None or name == THEIR_STEP or only in name
    }
    turns, errors, left_out = admitted(known, case, device)
    found, ready, buffers = {}, {}, Buffers(case, device)
    for name, turn in turns.items():
        found[name] = {"error": errors[name]}
        if case.mode != "step":  # there it is tables and 32 results
            found[name]["memory"] = memory_of(turn, case, known[name], device)
        ready[name] = job_of(known[name], turn, case, buffers)
    for job in ready.values():  # memory that is asked for the first time comes from the system
        for _ in range(buffers.count):
            job()
    times = race(ready, rounds, device)
    for name, seconds in times.items():
        found[name]["milliseconds"] = quartiles([1e3 * second for second in seconds])
        for unit, yardstick in yardsticks(known[name], case).items():
            if yardstick in times:
                found[name][unit] = ratios(seconds, times[yardstick])
    return {"contenders": found, "left_out": left_out}


def yardsticks(contender: Contender, case: Case) -> dict[str, str]:
    """What a contender's time is divided by, and what the ratio is called."""
    if case.mode == "step":
        return {"transformers": THEIR_STEP}
    units = {"copies": IN_PLACE if contender.in_place else NEW, "additions": ADD}
    return units | ({"multiplications": MULTIPLY} if contender.in_place else {})


def job_of(contender: Contender, turn: Turn, case: Case, buffers: Buffers):
    """One call, with its backward pass in training, on the next set of buffers."""
    pairs = buffers.of(contender)
    if case.mode != "training":
        return rotating(pairs, torch.no_grad()(lambda pair: turn(*pair)), buffers.ring)
    sets = list(zip(pairs, buffers.of(contender, seed=2), strict=True))
    if contender.make is clone:  # autograd's own clone copies forward only
        return rotating(
            sets, torch.no_grad()(lambda each: [turn(*pair) for pair in each]), buffers.ring
        )

    def job(each) -> tuple:
        pair, upstream = each
        leaves = [x.detach().requires_grad_() for x in pair]
        results = turn(*leaves)
        torch.autograd.backward(results, upstream)
        return results, [leaf.grad for leaf in leaves]

    return rotating(sets, job, buffers.ring)


def versions(contenders: dict[str, Contender] = CONTENDERS) -> dict[str, str | None]:
    """The installed version of every compared package; None where it is not installed."""
    found = {}
    for package in sorted({each.package for each in contenders.values() if each.package}):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def draw(runs: list[dict], path: Path) -> None:
    """Every contender's quartiles in every case, as copies; one panel for a shape."""
    from rope_lib.course import plotting

    plotting.use_style()
    runs = [run for run in runs if run["mode"] != "step"]  # these have no copy to be divided by
    if not runs:
        return
    names = [n for n, each in CONTENDERS.items() if n not in (NEW, IN_PLACE) and each.modes != STEP]
    shapes = list(dict.fromkeys(run["name"].rpartition(" ")[0] for run in runs))
    figure, axes = plotting.figure("tall", columns=len(shapes), sharey=True, squeeze=False)
    colors = {"float32": "blue", "bfloat16": "vermillion", "float16": "green", "float64": "purple"}
    for axis, shape in zip(axes[0], shapes, strict=True):
        for run in (run for run in runs if run["name"].startswith(shape)):
            color = plotting.COLORS[colors[run["dtype"]]]
            for row, name in enumerate(names):
                if name in run["contenders"]:
                    low, middle, high = run["contenders"][name]["copies"]
                    axis.plot([low, high], [row, row], color=color)
                    axis.plot(middle, row, "o", color=color, label=run["dtype"] if not row else "")
        axis.axvline(1, color=plotting.COLORS["grey"], linewidth=1)
        axis.set_xscale("log")
        axis.set_title(shape.replace(" ", "\n"), fontsize="small")
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, -1].get_legend_handles_labels(), loc="upper left")
    figure.supxlabel("times a copy")
    figure.savefig(path)


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--cases", type=parse_case, nargs="+", default=[*map(parse_case, CASES)])
    made.add_argument("--only", default="", help="contenders whose name has this in it")
    made.add_argument("--rounds", type=int, default=11)
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--results", type=Path, default=HERE / "results", help="folder to write to")
    args = made.parse_args()
    # The contenders' and the compiler's remarks would stand between the lines of the table; what
    # a contender computes is checked before it is timed.
    logging.getLogger("torch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(args.threads)
    torch._dynamo.config.recompile_limit = 64
    kept = keep_freed_memory()
    device, runs = torch.device("cpu"), []
    with tqdm(args.cases, unit="case") as cases:
        for case in cases:
            cases.set_description(case.name)
            rounds = args.rounds * (SHORT if case.mode in IN_CACHE else 1)
            measured = measure(case, args.only, rounds, device)
            settings = {**vars(case), "rounds": rounds, "threads": args.threads}
            settings["sets"] = count(case, device)  # of queries and keys that take turns
            runs.append({"name": case.name, **settings, **measured})
            runs[-1]["provenance"] = provenance(device)
    args.results.mkdir(parents=True, exist_ok=True)
    facts = {"packages": versions(), "last_cache_bytes": last_cache(), "freed_memory_is_kept": kept}
    result = {"command": command(sys.argv), **facts, "runs": runs}
    write_json(args.results / "bench.json", result)
    draw(runs, args.results / "bench.svg")
    for run in runs:
        show(run)


def show(run: dict) -> None:
    """Medians, with quartiles in parentheses."""
    unit = "transformers" if run["mode"] == "step" else "copies"
    beside = "multiplications"
    in_place = any(beside in found for found in run["contenders"].values())
    print(f"\n{run['name']}, in {unit}{'; in place also in multiplications by one' * in_place}:")
    for name, found in run["contenders"].items():
        shown = [spread(found[key]) for key in (unit, beside) if key in found]
        low, middle, high = (1e3 * time for time in found["milliseconds"])
        print(f"  {name:44}", *shown, f"{middle:10.1f} µs ({low:.1f} to {high:.1f})")
    for name, why in run["left_out"].items():
        print(f"  {name:44} left out: {why}")


def spread(three: list[float]) -> str:
    low, middle, high = three
    return f"{middle:7.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
