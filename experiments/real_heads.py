"""What the heads of a real model do with distance: where they look, and their scores by distance.

Texts of 2,048 tokens are read; the later half of the queries is looked at, so that each of them has
1,024 distances. For every head, as means over the windows with their standard errors:

- the weight on the query's own token, on the one before, on the first four tokens of the text, on
  the nearest eight, and on all beyond 256 that are not the first four;
- the weight by distance, in bins whose width doubles, without the first four tokens; and the same
  with queries and keys of that layer left unrotated, which shows what the content alone would do;
- scores of queries and keys from unrelated places, as a function of distance: their mean (rotation
  is linear in each, so this is the score of the two means; its fall with distance would be decay
  "by itself") and their spread; and their size as a part of RoFormer's bound and of ``|q| |k|``.

Four kinds of heads are counted, by thresholds that were chosen beforehand: more than half of the
weight on the token before; on the first four; on the nearest eight; on what is beyond 256.
"""

import math
from functools import partial
from itertools import pairwise

import numpy
import real
import torch
import ways
from common import Place, run_all
from memory import Way, queries_keys_values

from rope_lib.course.decay import partial_sums, score_by_distance

SINKS = 4
NEAR = 8
FAR = 256
PAIRS = 500  # random pairs of a query and a key


def work(run: dict, place: Place, *, folder: str) -> dict:
    """All heads over all windows."""
    path = f"{folder}/{run['model']}"
    model = real.load(path, place.device)
    way = ways.scaled(model.sizes)
    found: dict[str, list] = {}
    for number in range(run["windows"]):
        text = real.window({**run, "window": number}, path, run["length"], 1).text
        looked = [look(*three, way, run["seed"]) for three in queries_keys_values(model, text, way)]
        for key in looked[0]:
            found.setdefault(key, []).append(torch.stack([layer[key] for layer in looked]))
        place.tick(1)
    means, errors = {}, {}
    for key, values in found.items():
        values = torch.stack(values).double()
        means[key] = significant(values.mean(dim=0))
        errors[key] = significant(values.std(dim=0) / math.sqrt(len(values)), 2)
    return {"bins": bins(run["length"]), "mean": means, "standard_error": errors}


def bins(length: int) -> list[int]:
    """Where bins of distances begin: 0, 1, 2, 4, 8, ... ; the last is their end."""
    return [0, *(2**i for i in range((length // 2).bit_length()))]


def look(q, k, v, way: Way, seed: int) -> dict[str, torch.Tensor]:
    """What is measured of one layer, ``(heads, ...)`` each."""
    length, groups = q.shape[2], q.shape[1] // k.shape[1]
    q, k = q[0], k[0].repeat_interleave(groups, dim=0)
    places = torch.arange(length)
    turned_q, turned_k = way.turn(q, places), way.turn(k, places)
    weights = attention(turned_q, turned_k)
    plain = attention(q, k)
    far = by_distance(weights)[:, FAR:].sum(dim=-1)
    return {
        "self": weights.diagonal(length // 2, 1, 2).mean(dim=-1),
        "before": weights.diagonal(length // 2 - 1, 1, 2).mean(dim=-1),
        "first": weights[..., :SINKS].sum(dim=-1).mean(dim=-1),
        "nearest": by_distance(weights)[:, :NEAR].sum(dim=-1),
        "far": far,
        "weight": in_bins(by_distance(weights), length),
        "weight_unrotated": in_bins(by_distance(plain), length),
        **scores(q, k, way, length, seed),
    }


def attention(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Causal weights of the later half of the queries, ``(heads, length / 2, length)``."""
    half = q.shape[1] // 2
    found = q[:, half:] @ k.mT / math.sqrt(q.shape[-1])
    seen = torch.ones(found.shape[1:], dtype=torch.bool).tril(half)
    return found.masked_fill_(~seen, -torch.inf).softmax(dim=-1)


def by_distance(weights: torch.Tensor) -> torch.Tensor:
    """Mean weight at each distance ``0 .. length / 2 - 1``, the first tokens not counted.

    Queries see farther than that; what they give to keys beyond is in none of these.
    """
    heads, half, _ = weights.shape
    rows = torch.arange(half)[:, None] + half
    columns = rows - torch.arange(half)
    inside = weights.gather(2, columns.expand(heads, -1, -1))
    return (inside * (columns >= SINKS)).mean(dim=1)


def in_bins(weights: torch.Tensor, length: int) -> torch.Tensor:
    """Sums of the weight over the bins of distance."""
    spans = pairwise(bins(length))
    return torch.stack([weights[:, begin:end].sum(dim=-1) for begin, end in spans], dim=-1)


def scores(q, k, way: Way, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Scores of unrelated queries and keys at the bins' distances, and against two bounds."""
    q, k = (x[:, SINKS:].double() for x in (q, k))
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(q.shape[1], (2, PAIRS), generator=generator)
    distances = torch.tensor(bins(length))
    measure = partial(score_by_distance, inv_freq=way.inv_freq, distances=distances, pairing="half")
    some_q, some_k = q[:, chosen[0]], k[:, chosen[1]]
    found, scale = measure(some_q, some_k), 1 / math.sqrt(q.shape[-1])
    bound = largest_step(some_q, some_k)[..., None] * partial_sums(
        way.inv_freq, distances).abs().sum(dim=-1)  # fmt: skip
    lengths = (some_q.norm(dim=-1) * some_k.norm(dim=-1))[..., None]
    return {
        "score_mean": scale * measure(q.mean(dim=1), k.mean(dim=1)),
        "score_spread": scale * found.std(dim=1),
        "of_bound": (found.abs() / bound).flatten(1).median(dim=-1).values,
        "of_lengths": (found.abs() / lengths).flatten(1).median(dim=-1).values,
    }


def largest_step(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """``max |h_(i+1) - h_i|`` of RoFormer's bound: ``h = q conj(k)``, and a 0 behind the last."""
    as_complex = (torch.complex(*x.chunk(2, dim=-1)) for x in (q, k))
    h = next(as_complex) * next(as_complex).conj()
    return torch.nn.functional.pad(h, (0, 1)).diff(dim=-1).abs().amax(dim=-1)


def significant(x: torch.Tensor, digits: int = 3) -> list:
    """Nested lists of a few significant digits."""
    if x.ndim:
        return [significant(part, digits) for part in x]
    return float(numpy.format_float_positional(x.item(), precision=digits, fractional=False))


def main() -> None:
    made = real.parser(__doc__)
    made.add_argument("--length", type=int, default=2048)
    args = made.parse_args()
    settings = {"length": args.length, "steps": args.windows}
    (run, *_) = real.plan(args, **settings)
    runs = [{**run, "name": f"heads-{seed}", "window": None, "seed": seed} for seed in args.seeds]
    run_all("real_heads", args, runs, partial(work, folder=real.folder_of(args)))


if __name__ == "__main__":
    main()
