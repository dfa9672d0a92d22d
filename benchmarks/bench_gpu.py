"""How fast RoPE is on one GPU: rope_lib's kernels beside other libraries, against a device copy.

Everyone's result is compared with float64 before a clock runs. Then all take turns in rounds whose
order moves on; times are divided within a round by a copy of queries and keys on the same GPU.
Buffers rotate through a pool larger than the cache, so every number comes from memory. Forward and
backward are timed apart, a decode step also inside a CUDA graph: that is the GPU's own time. What a
call costs the host is timed by itself. Writes ``results/bench_gpu.json`` after each case.

    make bench-gpu
    python benchmarks/bench_gpu.py --flash-attn rotary.py   with flash-attention's one file
"""

import argparse
import logging
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "experiments"))  # scripts, not a package: hence the order below

from bench import parse_case, versions  # noqa: E402
from checking import admitted  # noqa: E402
from common import command, provenance, write_json  # noqa: E402
from contenders import (  # noqa: E402
    ADD,
    IN_PLACE,
    Case,
    Contender,
    Turn,
    add_vector,
    complex_form,
    copy_over,
    from_package,
    load_file,
    ours,
    transformers,
)
from timing import quartiles, ratios  # noqa: E402

CASES = (
    "training:1,32,16384,128:bfloat16", "training:1,32,2048,128:bfloat16",
    "training:4,32/8,4096,128:bfloat16", "training:8,12,512,64:bfloat16",
    "training:1,32,16384,128:float32", "decode:1,32/8,1,128:bfloat16",
    "decode:8,32/8,1,128:bfloat16", "decode:64,32/8,1,128:bfloat16",
)  # fmt: skip
POOL = 2**28  # bytes, several times the cache of any GPU that is sold
ADD_COMPILED = "the addition, compiled"
LAYERS = 32  # calls in one CUDA graph, as in a model's decode step
CALLS = 40  # at most so many in a row: a GPU's queue holds about a thousand kernels


def compiled_addition(case: Case, device: torch.device) -> Turn:
    return torch.compile(add_vector(case, device))


def liger(case: Case, device: torch.device) -> Turn:
    from liger_kernel.transformers.rope import liger_rotary_pos_emb

    cos, sin = (torch.cat((t, t), dim=-1)[None].to(case.kind) for t in case.tables(device))
    return lambda q, k: liger_rotary_pos_emb(q, k, cos, sin)


class _FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, cos, sin, apply):
        ctx.save_for_backward(cos, sin)
        ctx.apply_rotary = apply
        return apply(x, cos, sin)

    @staticmethod
    def backward(ctx, gradient):
        turned = ctx.apply_rotary(gradient, *ctx.saved_tensors, conjugate=True)
        return turned, None, None, None


def flash_attention(path: Path | None):
    def make(case: Case, device: torch.device) -> Turn:
        file = load_file(path) if path else from_package("flash_attn", "ops/triton/rotary.py")
        tables = [table.to(case.kind) for table in case.tables(device)]

        def both(q, k):
            return tuple(_FlashAttention.apply(x, *tables, file.apply_rotary) for x in (q, k))

        return both

    return make


def into_cache(case: Case, device: torch.device) -> Turn:
    """Keys land in a cache: more work than turning, in the same launch."""
    from rope_lib.kernels import rotate_into_cache

    cos, sin = case.tables(device)
    shape = (case.batch, case.kv_heads, case.tokens, case.head_dim)
    k_cache, v_cache = (torch.zeros(shape, device=device, dtype=case.kind) for _ in range(2))
    slots = torch.arange(case.tokens, device=device)

    def both(q, k):
        how = {"pairing": "half"}
        q = rotate_into_cache(q, k, k, cos, sin, k_cache, v_cache, slots, **how)
        return q, k_cache

    return both


def contenders(flash: Path | None) -> dict[str, Contender]:
    decode = ("decode",)
    return {
        IN_PLACE: Contender(copy_over, None, in_place=True),
        ADD: Contender(add_vector, None),
        ADD_COMPILED: Contender(compiled_addition, None),
        "rope_lib, half": Contender(ours("half"), "half"),
        "rope_lib, interleaved": Contender(ours("interleaved"), "interleaved"),
        "rope_lib, half, in place": Contender(
            ours("half", in_place=True), "half", in_place=True, modes=decode
        ),
        "rope_lib, into a cache": Contender(into_cache, "half", modes=decode),
        "rope_lib's formula, compiled": Contender(ours("half", compiled=True), "half"),
        "complex product": Contender(complex_form, "interleaved"),
        "transformers": Contender(transformers(compiled=False), "half", package="transformers"),
        "transformers, compiled": Contender(
            transformers(compiled=True), "half", package="transformers"
        ),
        "Liger": Contender(
            liger, "half", transposed=True, package="liger-kernel"
        ),
        "flash-attention": Contender(
            flash_attention(flash), "half", heads_last=True, package="flash-attn"
        ),
    }  # fmt: skip


class Clock:
    """Seconds that a GPU works, by its own events; without a GPU, for the tests, of the host.

    To start a kernel takes the host longer than a small kernel takes the GPU. So the calls queue up
    behind copies that last longer than the queueing, and then run without a gap.
    """

    def __init__(self, device: torch.device):
        self.device = device
        if device.type == "cuda":
            source, target = torch.empty(2, 2**30, dtype=torch.int8, device=device)
            self.ahead = lambda: target.copy_(source)
            self.events(self.ahead, 1)
            self.lasts = self.events(self.ahead, 8)

    def __call__(self, job, calls: int) -> float:
        queueing = self.host(job, calls)
        if self.device.type != "cuda":
            return queueing
        for _ in range(1 + int(2 * calls * queueing / self.lasts)):
            self.ahead()
        return self.events(job, calls)

    def events(self, job, calls: int) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(calls):
            job()
        stop.record()
        stop.synchronize()
        return 1e-3 * start.elapsed_time(stop) / calls

    def host(self, job, calls: int) -> float:
        """What a call costs before the GPU has done anything."""
        self.wait()
        begin = time.perf_counter()
        for _ in range(calls):
            job()
        passed = time.perf_counter() - begin
        self.wait()
        return passed / calls

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def jobs_of(contender: Contender, turn: Turn, case: Case, device: torch.device) -> dict:
    """Forward, backward and graph of one contender, each over a rotating pool of buffers."""
    first = contender.given(case, device, seed=1)
    size = sum(x.nbytes for x in first)
    sets = [first] + [
        [x.clone() for x in first] for _ in range(min(256, max(1, POOL // max(size, 1))))
    ]
    forward = _rotating(sets, torch.no_grad()(lambda pair: turn(*pair)))
    if case.mode == "decode":
        return {"forward": forward, "graph": _graphed(forward, device)}
    if contender.pairing is None:  # a copy is the floor of both; to add has nothing to do backward
        kinds = ("forward", "backward") if contender.in_place else ("forward",)
        return dict.fromkeys(kinds, forward)
    graphs = []
    for pair in sets:
        leaves = [x.clone().requires_grad_() for x in pair]
        # Who is given a view of its own order may write over it, and no one writes over a leaf.
        given = [x * 1 for x in leaves] if contender.transposed else leaves
        graphs.append((turn(*given), leaves, contender.given(case, device, seed=2)))

    def back(graph):
        results, leaves, upstream = graph
        return torch.autograd.grad(results, leaves, upstream, retain_graph=True)

    return {"forward": forward, "backward": _rotating(graphs, back)}


def _rotating(sets: list, job):
    state = {"next": 0}

    def turn():
        state["next"] = (state["next"] + 1) % len(sets)
        return job(sets[state["next"]])

    return turn


def _graphed(job, device: torch.device):
    """LAYERS calls in one CUDA graph; where there are none, one after the other."""
    if device.type != "cuda":
        return lambda: [job() for _ in range(LAYERS)]
    job()
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    kept = []
    with torch.cuda.graph(graph):
        kept.extend(job() for _ in range(LAYERS))
    job.kept = kept  # what a graph writes to must stay
    return graph.replay


def measure(case: Case, device: torch.device, rounds: int, known: dict[str, Contender]) -> dict:
    """Check and time everyone in one case; see :func:`bench.measure`.

    Raises:
        WrongError: rope_lib itself does not compute a rotation.
    """
    torch._dynamo.reset()
    clock = Clock(device)
    turns, errors, left_out = admitted(known, case, device)
    found = {name: {"error": error} for name, error in errors.items()}
    ready = {name: jobs_of(known[name], turn, case, device) for name, turn in turns.items()}
    bytes_moved = 2 * sum(x.nbytes for x in case.heads_of(device, seed=1, heads_last=False))
    for kind in ("forward", "backward") if case.mode == "training" else ("forward", "graph"):
        racing = {name: jobs[kind] for name, jobs in ready.items() if kind in jobs}
        times = _race(racing, rounds, clock)
        each = LAYERS if kind == "graph" else 1
        for name, seconds in times.items():
            middle = sorted(seconds)[len(seconds) // 2] / each
            found[name][kind] = {
                "microseconds": quartiles([1e6 * second / each for second in seconds]),
                "copies": ratios(seconds, times[IN_PLACE]),
                "gigabytes_per_second": float(f"{bytes_moved / middle / 1e9:.4g}"),
            }
    for name, jobs in ready.items():
        host = [1e6 * clock.host(jobs["forward"], CALLS) for _ in range(max(3, rounds))]
        found[name]["host_microseconds"] = quartiles(host)
    return {"contenders": found, "left_out": left_out}


def _race(jobs: dict, rounds: int, clock: Clock) -> dict[str, list[float]]:
    names, times = list(jobs), {name: [] for name in jobs}
    calls = {}
    for name, job in jobs.items():
        job()
        clock.wait()
        calls[name] = max(3, min(CALLS, int(5e-3 / max(clock(job, 3), 1e-7))))
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            times[name].append(clock(jobs[name], calls[name]))
    return times


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--cases", type=parse_case, nargs="+", default=[*map(parse_case, CASES)])
    made.add_argument("--rounds", type=int, default=15)
    made.add_argument("--flash-attn", type=Path, help="flash_attn/ops/triton/rotary.py")
    made.add_argument("--results", type=Path, default=HERE / "results", help="folder to write to")
    args = made.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("bench_gpu.py needs a GPU that PyTorch can use; make bench times a CPU")
    # The contenders' and the compiler's remarks would stand between the lines of the table; what
    # a contender computes is checked before it is timed.
    logging.getLogger("torch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch._dynamo.config.recompile_limit = 64
    device, runs, known = torch.device("cuda"), [], contenders(args.flash_attn)
    args.results.mkdir(parents=True, exist_ok=True)
    packages = {**versions(known), "triton": version("triton")}
    result = {"command": command(sys.argv), "packages": packages, "runs": runs}
    for case in tqdm(args.cases, unit="case"):
        measured = measure(case, device, args.rounds, known)
        torch.cuda.empty_cache()
        runs.append({"name": case.name, **vars(case), "rounds": args.rounds, **measured})
        runs[-1]["provenance"] = provenance(device)
        write_json(args.results / "bench_gpu.json", result)  # what is measured is kept
    for run in runs:
        print(f"\n{run['name']}")
        for name, found in run["contenders"].items():
            shown = {kind: found[kind]["copies"][1] for kind in ("forward", "backward", "graph")
                     if kind in found}  # fmt: skip
            copies = (f"{kind} {ratio:6.2f} copies" for kind, ratio in shown.items())
            print(f"  {name:30}", *copies, f"host {found['host_microseconds'][1]:.0f} µs")


if __name__ == "__main__":
    main()
