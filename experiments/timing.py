"""Timing side by side: jobs in one process, in rounds whose order moves on by one place.

A slow moment of the machine then hits all alike, and ratios are formed within a round.
"""

import statistics
import time
from collections.abc import Callable

import torch

Jobs = dict[str, Callable[[], object]]


def race(
    jobs: Jobs, rounds: int, device: torch.device, *, settle: bool = False
) -> dict[str, list[float]]:
    """Seconds of each job in each round, after one call to warm up.

    With ``settle``, short jobs are called once more before each clock: needed where jobs share
    their data, since the one before in a round is always the same and may leave them in the cache.
    """
    torch.empty(8_000_000)  # made and freed: the C library keeps freed memory of up to this size
    times = {name: [] for name in jobs}
    names = list(jobs)
    for job in jobs.values():
        job()
    for turn in range(rounds):
        for i in range(len(names)):
            name = names[(turn + i) % len(names)]
            times[name].append(seconds(jobs[name], device, settle))
    return times


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
