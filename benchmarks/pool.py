"""Buffers that take turns, so that what is timed comes from memory and not from a cache.

A model turns queries and keys that a matrix product has just written, but a forward pass over
thousands of tokens writes far more than a cache holds. So prefill and training rotate through
sets that are larger together than the last cache; results stay until their set comes round again,
so their memory rotates, too. One token's queries and keys are small and were written just before:
in decoding they stay where they are.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from contenders import IN_CACHE, LAYERS, Case, Contender, Pair

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
UNKNOWN = 2**26  # bytes, where the system does not tell the size of its caches
MOST = 2**28  # bytes of one layout's queries and keys; gradients and results double them twice
MOST_SETS = 256  # tiny cases stay in the cache, and say so by their number of sets
ON_GPU = 2**28  # several times the cache of any GPU that is sold
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # of mallopt
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@cache
def last_cache() -> int:
    """Bytes of the largest cache that this processor tells of; a guest may see another's."""
    sizes = [path.read_text("ascii").strip() for path in CACHES.glob("index*/size")]
    return max((int(size[:-1]) * UNITS[size[-1]] for size in sizes if size), default=UNKNOWN)


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, of any size, until the process ends.

    Linux's gives blocks from 32 MiB on back to the system, which supplies each page anew the next
    time. That costs more than a rotation, and by the number of temporary tensors. False where the
    library is another one.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(option(MMAP_MAX, 0) and option(TRIM_THRESHOLD, 2**31 - 1))


def count(case: Case, device: torch.device) -> int:
    """How many sets of queries and keys take turns."""
    on_gpu = device.type == "cuda"
    if case.mode in IN_CACHE:  # in a CUDA graph every layer has its own
        return LAYERS if on_gpu else 1
    room = ON_GPU if on_gpu else min(2 * last_cache(), MOST)
    return min(MOST_SETS, max(2, -(-room // case.nbytes)))


class Buffers:
    """Random queries and keys, and gradients of results: one pool for all who share a layout."""

    def __init__(self, case: Case, device: torch.device):
        self.case, self.device = case, device
        self.count = count(case, device)
        self.ring = Ring(self.count)
        self.made: dict[tuple, list[Pair]] = {}

    def of(self, contender: Contender, *, seed: int = 1) -> list[Pair]:
        key = (contender.heads_last, contender.transposed, seed)
        if key not in self.made:
            first = contender.given(self.case, self.device, seed=seed)
            more = [tuple(x.clone() for x in first) for _ in range(self.count - 1)]
            self.made[key] = [first, *more]
        return self.made[key]


class Ring:
    """Whose turn it is, and what came of each set until its next turn; one for all of a case.

    Results of one ring for everybody take no more memory than the sets do, whoever makes them.
    """

    def __init__(self, count: int, *, hold: bool = True):
        self.count, self.hold = count, hold
        self.at, self.held = 0, [None] * count

    def turn(self, sets: list, job: Callable) -> object:
        self.at = (self.at + 1) % self.count
        self.held[self.at] = None  # the oldest result's memory may serve the next
        result = job(sets[self.at])
        if self.hold:
            self.held[self.at] = result
        return result


def rotating(sets: list, job: Callable, ring: Ring) -> Callable[[], object]:
    """A call that takes the next set each time."""
    return lambda: ring.turn(sets, job)
