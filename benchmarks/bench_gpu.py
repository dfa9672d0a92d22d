"""How fast RoPE is on one GPU: rope_lib's kernels beside other libraries, against a device copy.

Everyone's result is compared with float64 before a clock runs. Then all take turns in rounds whose
order is drawn anew; times are divided within a round by a copy of queries and keys on the same GPU,
in place also by a multiplication by one. Long texts rotate through a pool larger than the cache, a
single token stays in it, see ``pool.py``. Forward and backward are timed apart, a decode step also
inside a CUDA graph: that is the GPU's own time. What a call costs the host is timed by itself. A
``layer`` is what a layer with norms does to a token before attention. Medians stand with quartiles.
Writes ``results/bench_gpu.json`` after each case.

    make bench-gpu                                          with the tests and the sweep of tiles
    python benchmarks/bench_gpu.py --flash-attn rotary.py   with flash-attention's one file
"""

import argparse
import functools
import logging
import sys
import time
import warnings
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "experiments"))  # scripts, not a package: hence the order below

from bench import parse_case, spread, versions  # noqa: E402
from checking import admitted, reason  # noqa: E402
from common import command, provenance, write_json  # noqa: E402
from contenders import (  # noqa: E402
    ADD,
    EPS,
    FORWARD,
    IN_PLACE,
    LAYERS,
    MULTIPLY,
    Case,
    Contender,
    Pair,
    Turn,
    add_vector,
    complex_form,
    copy_over,
    from_package,
    load_file,
    multiply,
    onnx_operator,
    ours,
    proposed,
    transformers,
)
from pool import Buffers, count, rotating  # noqa: E402
from timing import orders, quartiles, ratios  # noqa: E402

CASES = (
    "training:1,32,16384,128:bfloat16", "training:1,32,2048,128:bfloat16",
    "training:4,32/8,4096,128:bfloat16", "training:8,12,512,64:bfloat16",
    "training:1,32,16384,128:float32", "prefill:4,32/8,4096,128:bfloat16",
    "decode:1,32/8,1,128:bfloat16", "decode:8,32/8,1,128:bfloat16", "decode:64,32/8,1,128:bfloat16",
    "layer:1,32/8,1,128:bfloat16", "layer:64,32/8,1,128:bfloat16",
)  # fmt: skip
KINDS = {
    "training": ("forward", "backward"), "prefill": ("forward",),
    "decode": ("forward", "graph"), "layer": ("forward", "graph"),
}  # fmt: skip
ADD_COMPILED = "the addition, compiled"
SEPARATE = "norms, rotation and cache apart"
CALLS = 40  # at most so many in a row: a GPU's queue holds about a thousand kernels


gpu_case = functools.partial(parse_case, modes=tuple(KINDS))


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
    k_cache, v_cache, slots = cache_of(case, device)

    def both(q, k):
        how = {"pairing": "half"}
        q = rotate_into_cache(q, k, k, cos, sin, k_cache, v_cache, slots, **how)
        return q, k_cache

    return both


def flashinfer(case: Case, device: torch.device) -> Turn:
    """Its tables are one, cosines beside sines for every position, and tokens one dimension."""
    from flashinfer.rope import apply_rope_with_cos_sin_cache

    whole = replace(case, first=0, tokens=case.first + case.tokens)
    table = torch.cat(whole.tables(device), dim=-1)
    positions = case.positions(device).repeat(case.batch).int()

    def both(q, k):
        flat = (x.flatten(2).flatten(0, 1) for x in (q, k))
        turned = apply_rope_with_cos_sin_cache(positions, *flat, case.head_dim, table)
        return tuple(new.view(old.shape) for new, old in zip(turned, (q, k), strict=True))

    return both


def transformers_kernel(case: Case, device: torch.device) -> Turn:
    """What transformers puts in the place of its own function with ``kernels``, in inference."""
    from kernels import get_kernel

    try:
        turn = get_kernel("kernels-community/rotary", version=2).apply_rotary_transformers
    except Exception as error:  # no network, or no build for this PyTorch
        raise ImportError(f"its kernel was not loaded ({type(error).__name__})") from error
    cos, sin = (torch.cat((t, t), dim=-1)[None].to(case.kind) for t in case.tables(device))
    return lambda q, k: turn(q, k, cos, sin)


def helion(case: Case, device: torch.device) -> Turn:
    from helion_form import turning

    tables, pairs = case.tables(device), case.head_dim // 2
    for_q, for_k = (turning(heads, case.tokens, pairs) for heads in (case.heads, case.kv_heads))
    return lambda q, k: (for_q(q, *tables), for_k(k, *tables))


def cache_of(case: Case, device: torch.device) -> tuple[torch.Tensor, ...]:
    """Room for keys and values, and the row of each token."""
    shape = (case.batch, case.kv_heads, case.tokens, case.head_dim)
    places = (torch.zeros(shape, device=device, dtype=case.kind) for _ in range(2))
    return *places, torch.arange(case.tokens, device=device)


def layer_apart(case: Case, device: torch.device) -> Turn:
    """Two norms, one launch that turns, and two writes."""
    from rope_lib.kernels import rotate_qk

    cos, sin = case.tables(device)
    k_cache, v_cache, slots = cache_of(case, device)
    norm = {"normalized_shape": (case.head_dim,), "weight": case.weight(device), "eps": EPS}

    def layer(q, k):
        normed = (torch.nn.functional.rms_norm(x, **norm) for x in (q, k))
        new_q, new_k = rotate_qk(*normed, cos, sin, pairing="half")
        return new_q, k_cache.index_copy_(2, slots, new_k), v_cache.index_copy_(2, slots, k)

    return lambda q, k: layer(q, k)[:2]


def layer_into_cache(case: Case, device: torch.device) -> Turn:
    """Two norms, and one launch that turns and writes."""
    turn = into_cache(case, device)
    norm = {"normalized_shape": (case.head_dim,), "weight": case.weight(device), "eps": EPS}
    return lambda q, k: turn(*(torch.nn.functional.rms_norm(x, **norm) for x in (q, k)))


def layer_fused(case: Case, device: torch.device) -> Turn:
    """Everything in one launch."""
    from rope_lib import kernels

    fused = getattr(kernels, "norm_rotate_into_cache", None)
    if fused is None:
        raise ImportError("rope_lib.kernels has no norm_rotate_into_cache")
    tables, weight = case.tables(device), case.weight(device)
    k_cache, v_cache, slots = cache_of(case, device)

    def layer(q, k):
        given = (q, k, k, weight, weight, *tables, k_cache, v_cache, slots)
        return fused(*given, eps=EPS, pairing="half"), k_cache

    return layer


def contenders(flash: Path | None) -> dict[str, Contender]:
    decode, layer = ("decode",), {"normed": True, "modes": ("layer",)}
    return {
        IN_PLACE: Contender(copy_over, None, in_place=True, modes=tuple(KINDS)),
        MULTIPLY: Contender(multiply, None, in_place=True, modes=FORWARD),
        ADD: Contender(add_vector, None),
        ADD_COMPILED: Contender(compiled_addition, None),
        "rope_lib, half": Contender(ours("half"), "half"),
        "rope_lib, interleaved": Contender(ours("interleaved"), "interleaved"),
        "rope_lib, half, in place": Contender(
            ours("half", in_place=True), "half", in_place=True, modes=FORWARD
        ),
        "rope_lib, into a cache": Contender(into_cache, "half", modes=decode),
        "rope_lib's formula, compiled": Contender(ours("half", compiled=True), "half"),
        "complex product": Contender(complex_form, "interleaved"),
        "transformers": Contender(transformers(compiled=False), "half", package="transformers"),
        "transformers, compiled": Contender(
            transformers(compiled=True), "half", package="transformers"
        ),
        "transformers, with its kernel": Contender(
            transformers_kernel, "half", package="kernels", modes=FORWARD
        ),
        "PyTorch's proposal, compiled": Contender(proposed, "half", package="torch"),
        "torch.onnx.ops": Contender(onnx_operator, "half", package="torch", modes=FORWARD),
        "flashinfer": Contender(
            flashinfer, "half", heads_last=True, package="flashinfer-python", modes=FORWARD
        ),
        "Helion, one tile": Contender(helion, "half", package="helion", modes=FORWARD),
        SEPARATE: Contender(layer_apart, "half", **layer),
        "norms, then into the cache": Contender(layer_into_cache, "half", **layer),
        "all in one launch": Contender(layer_fused, "half", **layer),
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


def prepared(
    known: dict[str, Contender], turns: dict[str, Turn], left_out: dict[str, str], case: Case,
    device: torch.device, buffers: Buffers,
) -> dict[str, dict]:  # fmt: skip
    """The jobs of all; another library that does not fit into a graph is added to ``left_out``."""
    ready = {}
    for name, turn in turns.items():
        try:
            ready[name] = jobs_of(known[name], turn, case, device, buffers)
        except Exception as error:
            if known[name].package is None:
                raise
            left_out[name] = f"stopped with {type(error).__name__}: {reason(error)}"
    return ready


def jobs_of(
    contender: Contender, turn: Turn, case: Case, device: torch.device, buffers: Buffers
) -> dict:
    """Forward, backward and graph of one contender, each over a rotating pool of buffers."""
    sets = buffers.of(contender)
    forward = rotating(sets, torch.no_grad()(lambda pair: turn(*pair)), buffers.ring)
    if "graph" in KINDS[case.mode]:
        return {"forward": forward, "graph": _graphed(forward, device)}
    if "backward" not in KINDS[case.mode]:
        return {"forward": forward}
    if contender.pairing is None:  # a copy is the floor of both; to add has nothing to do backward
        kinds = ("forward", "backward") if contender.in_place else ("forward",)
        return dict.fromkeys(kinds, forward)
    upstream = buffers.of(contender, seed=2)
    graphs = [
        (*recorded(contender, turn, pair), up) for pair, up in zip(sets, upstream, strict=True)
    ]
    return {"forward": forward, "backward": rotating(graphs, _back, buffers.ring)}


def recorded(contender: Contender, turn: Turn, pair: Pair) -> tuple[Pair, Pair]:
    """Results, and that with respect to which they are differentiated: what ``turn`` was given.

    Who is given a view of its own order may write over it, and no one writes over a leaf. So it
    gets copies of its own. Gradients end at the copies: what made them is no part of backward.
    """
    given = tuple(x.detach().requires_grad_() for x in pair)
    if contender.transposed:
        given = tuple(x.clone() for x in given)
    return turn(*given), given


def _back(graph: tuple[Pair, Pair, Pair]) -> Pair:
    results, given, upstream = graph
    return torch.autograd.grad(results, given, upstream, retain_graph=True)


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
    clock, buffers = Clock(device), Buffers(case, device)
    # One token's results go where the allocator puts them; a graph has a place for each anyway.
    buffers.ring.hold = "graph" not in KINDS[case.mode]
    turns, errors, left_out = admitted(known, case, device)
    ready = prepared(known, turns, left_out, case, device, buffers)
    found = {name: {"error": errors[name]} for name in ready}
    for kind in KINDS[case.mode]:
        racing = {name: jobs[kind] for name, jobs in ready.items() if kind in jobs}
        times = _race(racing, rounds, clock)
        each = LAYERS if kind == "graph" else 1
        for name, seconds in times.items():
            seconds_each = [second / each for second in seconds]
            found[name][kind] = figures(seconds_each, case)
            for unit, yardstick in yardsticks(known[name], case).items():
                found[name][kind][unit] = ratios(seconds, times[yardstick])
    for name, jobs in ready.items():
        host = [1e6 * clock.host(jobs["forward"], CALLS) for _ in range(max(3, rounds))]
        found[name]["host_microseconds"] = quartiles(host)
    return {"contenders": found, "left_out": left_out}


def figures(seconds: list[float], case: Case) -> dict[str, list[float]]:
    """What a call took, and how fast queries and keys were read and written in it."""
    return {
        "microseconds": quartiles([1e6 * second for second in seconds]),
        "gigabytes_per_second": quartiles([2e-9 * case.nbytes / second for second in seconds]),
    }


def yardsticks(contender: Contender, case: Case) -> dict[str, str]:
    """What a contender's time is divided by, and what the ratio is called."""
    units = {"copies": IN_PLACE}
    if contender.in_place and case.mode in FORWARD:
        units["multiplications"] = MULTIPLY
    if case.mode == "layer" and contender.normed:
        units["separate"] = SEPARATE
    return units


def _race(jobs: dict, rounds: int, clock: Clock, seed: int = 0) -> dict[str, list[float]]:
    """Seconds of each job in each round, in an order that is drawn anew: see :mod:`timing`."""
    times, calls = {name: [] for name in jobs}, {}
    for name, job in jobs.items():
        job()
        clock.wait()
        calls[name] = max(3, min(CALLS, int(5e-3 / max(clock(job, 3), 1e-7))))
    for order in orders(list(jobs), rounds, seed):
        for name in order:
            times[name].append(clock(jobs[name], calls[name]))
    return times


def main() -> None:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--cases", type=gpu_case, nargs="+", default=[*map(gpu_case, CASES)])
    made.add_argument("--rounds", type=int, default=15)
    made.add_argument("--flash-attn", type=Path, help="flash_attn/ops/triton/rotary.py")
    made.add_argument("--limit", type=float, default=220, help="seconds: no case begins later")
    made.add_argument("--results", type=Path, default=HERE / "results", help="folder to write to")
    args = made.parse_args()
    device = quiet_gpu("bench_gpu.py")
    began, runs, known = time.monotonic(), [], contenders(args.flash_attn)
    args.results.mkdir(parents=True, exist_ok=True)
    packages = {**versions(known), "triton": version("triton")}
    result = {"command": command(sys.argv), "packages": packages, "not_reached": [], "runs": runs}
    for case in tqdm(args.cases, unit="case"):
        if time.monotonic() - began > args.limit:
            result["not_reached"].append(case.name)
        else:
            measured = measure(case, device, args.rounds, known)
            torch.cuda.empty_cache()
            settings = {**vars(case), "rounds": args.rounds, "sets": count(case, device)}
            runs.append({"name": case.name, **settings, **measured})
            runs[-1]["provenance"] = provenance(device)
        write_json(args.results / "bench_gpu.json", result)  # what is measured is kept
    for run in runs:
        show(run)
    for name in result["not_reached"]:
        print(f"\n{name}: not reached within {args.limit:.0f} s")


def quiet_gpu(script: str) -> torch.device:
    """The GPU, with nobody's remarks between the lines of the table.

    What a contender computes is checked before it is timed.

    Raises:
        SystemExit: there is none.
    """
    if not torch.cuda.is_available():
        raise SystemExit(f"{script} needs a GPU that PyTorch can use; make bench times a CPU")
    logging.getLogger("torch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch._dynamo.config.recompile_limit = 64
    return torch.device("cuda")


def show(run: dict) -> None:
    """Medians, with quartiles in parentheses."""
    print(f"\n{run['name']}")
    for name, found in run["contenders"].items():
        for kind in (kind for kind in KINDS[run["mode"]] if kind in found):
            units = ("copies", "multiplications", "separate")
            shown = (f"{spread(found[kind][unit])} {unit}" for unit in units if unit in found[kind])
            print(f"  {name:34} {kind:9}", *shown)
        print(f"  {name:34} host      {spread(found['host_microseconds'])} µs")
    for name, why in run["left_out"].items():
        print(f"  {name:34} left out: {why}")


if __name__ == "__main__":
    main()
