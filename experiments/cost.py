"""What turning costs: against adding a position vector, in a block, and in a training step.

Turning means two tensors, queries and keys; adding means one, as wide as all heads together.

Everything is timed in one process, one after the other, in an order that is drawn anew each round,
so that a slow moment of the machine hits all alike. Whole training steps are timed three times:
without positions, without positions again (a control: it ought to make no difference), and with
RoPE. Ratios are formed within a round; what is stored is their median and quartiles.
"""

import argparse
from collections.abc import Callable

import torch
from common import Place, parser, run_all
from timing import Jobs, quartiles, race, ratios
from torch import nn
from training import Model, make_model

from rope_lib import RotaryEmbedding, inverse_frequencies, rotate, rotation_tables
from rope_lib.course.decoder import BYTES, Block, causal_attention, next_token_loss
from rope_lib.course.encodings import Sinusoidal

HEAD_DIM = 64
# What is divided by what.
RATIOS = {
    "interleaved : add": ("interleaved", "add"),
    "half : add": ("half", "add"),
    "complex : add": ("complex", "add"),
    "module : block": ("module", "block"),
    "complex : block": ("complex", "block"),
    "complex : add, training": ("complex, training", "add, training"),
    "module : block, training": ("module, training", "block, training"),
    "complex : block, training": ("complex, training", "block, training"),
    "control : step": ("step again", "step"),
    "RoPE : step": ("step with RoPE", "step"),
}


def work(run: dict, place: Place) -> dict:
    """Time everything at one width and length."""
    if place.world > 1:
        raise SystemExit("cost.py times one process: start it without torchrun")
    torch.manual_seed(run["seed"])
    torch.set_num_threads(run["threads"])
    jobs = {**operations(run, place.device), **steps(run, place.device)}
    times = race(jobs, run["rounds"], place.device, settle=True)
    place.tick(run["steps"])
    return {
        "milliseconds": {name: quartiles([1e3 * t for t in times[name]]) for name in jobs},
        "ratios": {n: ratios(times[over], times[under]) for n, (over, under) in RATIOS.items()},
    }


def operations(run: dict, device: torch.device) -> Jobs:
    """The operation, the addition that it replaces, and one block, with and without gradients."""
    width, length = run["width"], run["length"]
    heads = width // HEAD_DIM
    shape = (run["batch"], heads, length, HEAD_DIM)
    q, k = (torch.randn(shape, device=device, requires_grad=True) for _ in range(2))
    x = torch.randn(run["batch"], length, width, device=device, requires_grad=True)
    positions = torch.arange(length, device=device)
    cos, sin = rotation_tables(positions, inverse_frequencies(HEAD_DIM, device=device))
    label = Sinusoidal(width).vectors(positions)
    turns = torch.complex(cos, sin)
    module = RotaryEmbedding(HEAD_DIM, pairing="half")
    block = Block(width, heads, causal_attention).to(device)

    def both(pairing: str) -> tuple[torch.Tensor, ...]:
        return tuple(rotate(y, cos, sin, pairing=pairing) for y in (q, k))

    def complex_product() -> tuple[torch.Tensor, ...]:
        pairs = (torch.view_as_complex(y.unflatten(-1, (-1, 2))) for y in (q, k))
        return tuple(torch.view_as_real(pair * turns).flatten(-2) for pair in pairs)

    forward = {
        "interleaved": lambda: both("interleaved"),
        "half": lambda: both("half"),
        "complex": complex_product,
        "module": lambda: module(q, k, positions),
        "add": lambda: (x + label,),
        "block": lambda: (block(x),),
    }
    jobs: Jobs = {name: torch.no_grad()(job) for name, job in forward.items()}
    for name, job in forward.items():
        jobs[f"{name}, training"] = _with_backward(job, [q, k, x, *block.parameters()])
    return jobs


def _with_backward(forward: Callable[[], tuple], parameters: list[torch.Tensor]) -> Callable:
    """The same and its gradients, for a fixed gradient of what comes out."""
    wanted = [torch.randn_like(y) for y in forward()]

    def job() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward(forward(), wanted)

    return job


def steps(run: dict, device: torch.device) -> Jobs:
    """One training step of a small decoder: without positions, twice, and with RoPE."""
    shape = (run["batch"], run["length"] + 1)
    pieces = torch.randint(BYTES, shape, device=device)
    sizes = {"width": run["width"], "layers": run["layers"], "heads": run["width"] // HEAD_DIM}

    def step(encoding: str) -> Callable[[], None]:
        model = make_model(Model(encoding, **sizes), run["length"], run["seed"]).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)

        def job() -> None:
            optimizer.zero_grad()
            next_token_loss(model, pieces).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return job

    return {"step": step("none"), "step again": step("none"), "step with RoPE": step("rope")}


def plan(args: argparse.Namespace) -> list[dict]:
    """Every width with every length, at the same number of tokens."""
    return [
        {
            "name": f"{width}-{length}", "width": width, "length": length,
            "batch": max(1, args.tokens // length), "layers": args.layers, "rounds": args.rounds,
            "threads": args.threads, "steps": 1, "seed": args.seeds[0],
        }
        for width in args.widths
        for length in args.lengths
    ]  # fmt: skip


def main() -> None:
    made = parser(__doc__)
    made.set_defaults(seeds=[0])
    made.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512, 768])
    made.add_argument("--lengths", type=int, nargs="+", default=[256, 1024, 2048])
    made.add_argument("--tokens", type=int, default=2048, help="in a batch")
    made.add_argument("--layers", type=int, default=2)
    made.add_argument("--rounds", type=int, default=15)
    made.add_argument("--threads", type=int, default=1)
    args = made.parse_args()
    if args.jobs > 1:
        raise SystemExit("--jobs must be 1: runs side by side would time each other")
    # Times of another machine are not those of this one.
    run_all("cost", args, plan(args), work, from_results=False)


if __name__ == "__main__":
    main()
