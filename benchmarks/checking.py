"""Before anything is timed: is it right, and what memory does it take?"""

import contextlib
import os
import re

import torch
from contenders import EPS, Case, Contender, Turn
from torch.profiler import ProfilerActivity, profile

from rope_lib import inverse_frequencies, rotate, rotation_tables

# Code that rounds at every step, with tables rounded to 16 bits, still passes; another pairing or
# position does not.
ROUNDINGS = 6


class WrongError(Exception):
    """A contender that does not compute a rotation."""


def admitted(
    contenders: dict[str, Contender], case: Case, device: torch.device
) -> tuple[dict[str, Turn], dict[str, float | None], dict[str, str]]:
    """Who takes part in a case: their functions and errors by name, and why others are left out.

    Another library may stop with any exception, from a device it does not know to a compiler that
    it misses; that is a reason too.

    Raises:
        WrongError: rope_lib itself does not compute a rotation.
    """
    turns, errors, left_out = {}, {}, {}
    for name, contender in contenders.items():
        if case.mode not in contender.modes:
            continue
        try:
            turn = contender.make(case, device)
            errors[name] = error_of(contender, turn, case, device)
            turns[name] = turn
        except ImportError as error:
            left_out[name] = reason(error)
        except WrongError as error:
            if contender.package is None:
                raise WrongError(f"{name}, {case.name}: {error}") from error
            left_out[name] = str(error)
        except Exception as error:
            if contender.package is None:
                raise
            left_out[name] = f"stopped with {type(error).__name__}: {reason(error)}"
    return turns, errors, left_out


def reason(error: Exception) -> str:
    """The first line of an error, without what may be a path of this machine."""
    first = (str(error).strip().splitlines() or ["no reason given"])[0]
    return re.sub(r"\S*/\S*", "…", first)[:200]


def error_of(contender: Contender, turn: Turn, case: Case, device: torch.device) -> float | None:
    """The largest error against float64, in roundings of the largest number; None for yardsticks.

    Raises:
        WrongError: more than is allowed.
    """
    if contender.pairing is None:
        return None
    training = case.mode == "training"
    pair = contender.given(case, device, seed=1)
    given = [x.detach().clone().requires_grad_(training) for x in pair]
    results = turn(*(x * 1 for x in given) if contender.transposed else given)
    worst = max(_distance(r, x, contender, case) for r, x in zip(results, pair, strict=True))
    if training:
        upstream = contender.given(case, device, seed=2)
        # Copies: Liger turns the gradients that it is given where they stand.
        gradients = torch.autograd.grad(results, given, [up.clone() for up in upstream])
        for gradient, up in zip(gradients, upstream, strict=True):
            worst = max(worst, _distance(gradient, up, contender, case, inverse=True))
    # Most libraries form angles in float32, off by half a rounding of the position itself.
    angles = (case.first + case.tokens) * torch.finfo(torch.float32).eps / 2
    allowed = ROUNDINGS + angles / torch.finfo(case.kind).eps
    if not worst <= allowed:
        raise WrongError(f"off by {worst:.3g} roundings of {case.dtype}; {allowed:.3g} are allowed")
    return float(f"{worst:.3g}")


def _distance(result, x, contender: Contender, case: Case, *, inverse: bool = False) -> float:
    ladder = inverse_frequencies(case.head_dim, device=x.device)
    cos, sin = rotation_tables(case.positions(x.device), ladder, torch.float64)
    wide = x.detach().double()
    wide = wide.transpose(1, 2) if contender.heads_last else wide
    if contender.normed:
        weight = case.weight(x.device).double()
        wide = torch.nn.functional.rms_norm(wide, (case.head_dim,), weight, EPS)
    exact = rotate(wide, cos, sin, pairing=contender.pairing, inverse=inverse)
    result = result.detach().transpose(1, 2) if contender.heads_last else result.detach()
    if result.shape != exact.shape or result.dtype != case.kind:
        raise WrongError(f"gave {tuple(result.shape)} {result.dtype}")
    off = (result.double() - exact).abs().max() / exact.abs().max()
    return float(off / torch.finfo(case.kind).eps)


def memory_of(turn: Turn, case: Case, contender: Contender, device: torch.device) -> dict:
    """Bytes as multiples of q and k together: allocated by a call, and kept for backward.

    ``new`` is the most that a call holds at one time, its result included; ``kept`` is what
    autograd saves of a call, without tables: what is no larger than they are.
    """
    q, k = contender.given(case, device, seed=1)
    whole = q.nbytes + k.nbytes
    with torch.no_grad():
        turn(q, k)
        new = _most_held(lambda: turn(q, k))
    kept = []
    if not contender.in_place:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
            turn(q.requires_grad_(), k.requires_grad_())
    tables = 2 * 8 * case.tokens * case.head_dim  # complex or of full width, in float32
    sizes = {t.untyped_storage().data_ptr(): t.nbytes for t in kept if t.nbytes > tables}
    return {"new": _share(new, whole), "kept": _share(sum(sizes.values()), whole)}


def _share(part: float, whole: float) -> float:
    return float(f"{part / whole:.3g}")


def _most_held(job) -> int:
    """The highest sum of allocations less releases while ``job`` runs, its result still held."""
    with _silence(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        result = job()
    held = most = 0
    for event in watched.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    del result
    return most


@contextlib.contextmanager
def _silence():
    """The profiler tells standard error, from C++, that it begins and ends."""
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
