"""How fast RoPE is on a CPU: rope_lib beside other libraries, adding a vector, and a copy.

One process. Everyone's result is compared with float64 before a clock runs. Then all take turns, in
an order that moves on by one place each round, and times are divided within a round: by a copy of
queries and keys (``clone`` where results are new, ``copy_`` where they are not; in training one
copy forward and one backward). Writes ``results/bench.json`` and ``results/bench.svg``.

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
from contenders import ADD, CONTENDERS, IN_PLACE, NEW, Case, Contender, Turn, clone  # noqa: E402
from timing import quartiles, race, ratios  # noqa: E402

SHAPES = (
    "prefill:1,32,2048,128", "training:8,12,512,64", "training:1,32,2048,128", "decode:1,32,1,128",
)  # fmt: skip
CASES = [f"{shape}:{dtype}" for shape in SHAPES for dtype in ("float32", "bfloat16")]
FIRST = 1000  # position of a decoded token: at 0 nothing turns


def parse_case(text: str) -> Case:
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
        known = mode in ("prefill", "training", "decode") and isinstance(kind, torch.dtype)
        if known and kind.is_floating_point and min(sizes) > 0 and sizes[-1] % 2 == 0:
            return Case(mode, *sizes, dtype, first=FIRST if mode == "decode" else 0)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not mode:batch,heads,tokens,head_dim:dtype, such as "
        "prefill:1,32,2048,128:float32, with mode prefill, training or decode"
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
        if contender.pairing is None or only in name
    }
    turns, errors, left_out = admitted(known, case, device)
    found, ready = {}, {}
    for name, turn in turns.items():
        memory = memory_of(turn, case, known[name], device)
        found[name] = {"error": errors[name], "memory": memory}
        ready[name] = job_of(known[name], turn, case, device)
    times = race(ready, rounds, device)
    for name, seconds in times.items():
        floor = IN_PLACE if CONTENDERS[name].in_place else NEW
        found[name]["milliseconds"] = quartiles([1e3 * second for second in seconds])
        found[name]["copies"] = ratios(seconds, times[floor])
        found[name]["additions"] = ratios(seconds, times[ADD])
    return {"contenders": found, "left_out": left_out}


def job_of(contender: Contender, turn: Turn, case: Case, device: torch.device):
    """One call, with its backward pass in training."""
    pair = contender.given(case, device, seed=1)
    if case.mode != "training":
        return torch.no_grad()(lambda: turn(*pair))
    upstream = contender.given(case, device, seed=2)
    if contender.make is clone:  # autograd's own clone copies forward only
        return torch.no_grad()(lambda: (turn(*pair), turn(*upstream)))
    leaves = [x.requires_grad_() for x in pair]

    def job() -> None:
        for leaf in leaves:
            leaf.grad = None
        torch.autograd.backward(turn(*leaves), upstream)

    return job


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
    names = [name for name in CONTENDERS if name not in (NEW, IN_PLACE)]
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
    device, runs = torch.device("cpu"), []
    with tqdm(args.cases, unit="case") as cases:
        for case in cases:
            cases.set_description(case.name)
            measured = measure(case, args.only, args.rounds, device)
            settings = {**vars(case), "rounds": args.rounds, "threads": args.threads}
            runs.append({"name": case.name, **settings, **measured})
            runs[-1]["provenance"] = provenance(device)
    args.results.mkdir(parents=True, exist_ok=True)
    result = {"command": command(sys.argv), "packages": versions(), "runs": runs}
    write_json(args.results / "bench.json", result)
    draw(runs, args.results / "bench.svg")
    for run in runs:
        print(f"\n{run['name']}, times a copy:")
        for name, found in run["contenders"].items():
            low, middle, high = found["copies"]
            print(f"  {name:34} {middle:7.2f}  ({low:.2f} to {high:.2f})")
        for name, why in run["left_out"].items():
            print(f"  {name:34} left out: {why}")


if __name__ == "__main__":
    main()
