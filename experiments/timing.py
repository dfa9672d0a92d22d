"""Timing side by side: jobs in one process, in rounds whose order is drawn anew each time.

A slow moment of the machine then hits all alike, and ratios are formed within a round. An order
that only moved on would keep everybody's predecessor: whoever follows the one that leaves the
caches full, or the memory allocator in a good state, would be measured with that help every time.
"""

import random
import statistics
import time
from collections.abc import Callable, Iterator

import torch

Jobs = dict[str, Callable[[], object]]


def race(
    jobs: Jobs, rounds: int, device: torch.device, *, settle: bool = False, seed: int = 0
) -> dict[str, list[float]]:
    """Seconds of each job in each round, after one call to warm up.

    With ``settle``, short jobs are called once more before each clock: needed where jobs share
    their data, which whoever came before may or may not have left in the cache. A shuffled order
    makes that noise instead of an error, and settling spares the noise.
    """
    torch.empty(8_000_000)  # made and freed: the C library keeps freed memory of up to this size
    times = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for order in orders(list(jobs), rounds, seed):
        for name in order:
            times[name].append(seconds(jobs[name], device, settle))
    return times


def orders(names: list[str], rounds: int, seed: int) -> Iterator[list[str]]:
    """One order for each round, the same for the same seed."""
    draw = random.Random(seed)
    for _ in range(rounds):
        yield draw.sample(names, len(names))


def seconds(job: Callable[[], object], device: torch.device, settle: bool) -> float:
    """One call, or the mean of several where one is too short for a clock."""
    if settle:
        begin = _now(device)
        job()
        first = _now(device) - begin
        if first > 0.05:
            return first
    begin, calls = _now(device), 0
    while calls == 0 or (_now(device) - begin < 2e-3 and calls < 50):
        job()
        calls += 1
    return (_now(device) - begin) / calls


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def ratios(over: list[float], under: list[float]) -> list[float]:
    """Quartiles of the ratios within each round."""
    return quartiles([a / b for a, b in zip(over, under, strict=True)])


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median and upper quartile, to four digits."""
    return [float(f"{value:.4g}") for value in statistics.quantiles(values, n=4)]
