"""The cache of a real model, cut, moved, padded and packed: what each mistake costs.

Keys are kept without rotation, so a cache can be given any positions afterwards. Each case is a
memory of keys at positions, after which the same passage is read.

- *Dropping tokens*: of 3,072 tokens, only the last 1,024 are kept, or the first four and the last
  1,020; at their old positions, or moved up to 0, 1, 2, ... ; beside them everything, and a text
  that begins with those last 1,024.
- *Reusing a text*: a text was read by itself, and is then used behind another one: rotated to its
  new positions, or left as it was; beside them both read in place, and the text alone.
- *Left padding*: padding tokens in front, masked or seen, with positions that count them or not.
- *Packing*: another text in front, masked or seen, with positions that run on or begin anew.

What would count as harm: the mean difference from the first case of its group over the windows has
a 95 % interval above 0, corrected for the number of cases in that group.
"""

import math
from dataclasses import replace
from functools import partial

import passages
import real
import torch
import ways
from common import Place, run_all
from llama import Llama
from memory import Memory, Range, Way, read
from passages import Window

SINKS = 4
PADDING = 0  # <|endoftext|>, what such a model is padded with


def work(run: dict, place: Place, *, folder: str) -> dict:
    """All groups of cases on one window."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    distances = (run["length"] * 5 // 6, run["length"] // 2, run["kept"] // 2)
    window = real.window(run, path, run["length"], run["passage"], distances)
    other = real.window({**run, "window": (run["window"] + 1) % run["windows"]}, path,
                        run["kept"] // 2, run["passage"])  # fmt: skip
    way = ways.scaled(model.sizes)
    found = {
        "dropping": dropping(model, window, way, run["kept"]),
        "reusing": reusing(model, window, way, run["kept"]),
        "padding": padding(model, window, way, run["kept"] // 2),
        "packing": packing(model, window, way, other.text),
    }
    place.tick(1)
    return real.rounded(found)


def dropping(model: Llama, window: Window, way: Way, kept: int) -> dict:
    """The loss after a cache from which most was dropped."""
    _, whole = read(model, window.text, way)
    total = len(whole)
    last = torch.arange(total - kept, total)
    joined = torch.cat((torch.arange(SINKS), last[SINKS:]))
    up = torch.arange(kept)
    caches = {
        "everything": whole,
        "last, old positions": whole.take(last),
        "last, moved up": whole.take(last, up),
        "first and last, old positions": whole.take(joined),
        "first and last, moved up": whole.take(joined, up),
        "a text of the last": read(model, window.text[-kept:], way)[1],
    }
    return {name: passages.ask(model, window, way, cache) for name, cache in caches.items()}


def reusing(model: Llama, window: Window, way: Way, kept: int) -> dict:
    """The loss after a text that was read elsewhere, behind another one."""
    first, second = window.text[-2 * kept : -kept], window.text[-kept:]
    (_, before), (_, alone) = (read(model, text, way) for text in (first, second))
    _, in_place = read(model, second, way, before)
    there = torch.arange(kept, 2 * kept)
    rotated = before.extended(alone.take(torch.arange(kept), there))
    stale = before.extended(alone)
    plain = passages.without_questions(window)
    caches = {"read in place": in_place, "rotated to its place": rotated,
              "left as it was": stale, "alone": alone}  # fmt: skip
    return {
        name: passages.ask(
            model, plain, seen_by_order(way), cache, first=None if name == "alone" else 2 * kept
        )
        for name, cache in caches.items()
    }


def padding(model: Llama, window: Window, way: Way, kept: int) -> dict:
    """The loss of a text behind padding."""
    text, plain, way = window.text[-kept:], passages.without_questions(window), seen_by_order(way)
    _, pads = read(model, torch.full((kept // 2,), PADDING), way)
    stacked = pads.take(torch.arange(len(pads)), torch.ones(len(pads)))
    cases = {  # what is seen before, and the first position of the text
        "none": (None, 0),
        "masked, positions from 0": (None, 0),
        "masked, positions count it": (None, len(pads)),
        "seen, positions count it": (pads, len(pads)),
        "seen, positions from 0": (stacked, 0),
    }
    return {name: _behind(model, plain, way, text, *case) for name, case in cases.items()}


def packing(model: Llama, window: Window, way: Way, other: torch.Tensor) -> dict:
    """The loss of a text that stands in one row with another one."""
    text, plain = window.text[-len(other) :], passages.without_questions(window)
    way = seen_by_order(way)
    _, before = read(model, other, way)
    cases = {
        "alone": (None, 0),
        "masked, positions run on": (None, len(before)),
        "seen, positions run on": (before, len(before)),
        "seen, positions begin anew": (before, 0),
    }
    return {name: _behind(model, plain, way, text, *case) for name, case in cases.items()}


def _behind(model, window: Window, way: Way, text, before: Memory | None, first: int) -> dict:
    """Read ``text`` from position ``first`` on, after ``before``; then the passage."""
    places = first + torch.arange(len(text))
    _, memory = read(model, text, way, before, positions=places)
    return passages.ask(model, window, way, memory, first=first + len(text))


def seen_by_order(way: Way) -> Way:
    """All that was read before is seen, even at a position further on, as a causal mask has it."""
    return replace(way, ranges=(Range(-math.inf),))


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--length", type=int, default=3072, help="tokens before the passage")
    made.add_argument("--kept", type=int, default=1024, help="tokens of a cache that was cut")
    made.add_argument("--passage", type=int, default=256)
    args = made.parse_args()
    runs = real.plan(args, length=args.length, kept=args.kept, passage=args.passage)
    run_all("real_cache", args, runs, partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
