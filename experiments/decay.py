"""What distance does to random scores and to the lead of a similar key, in numbers.

Nothing is trained here. Queries are standard normal; a similar key is the query plus noise.

- *spread*: how much the scores of random pairs spread, by distance, with several kinds of spread
  within each pair of numbers: by formula, and from samples.
- *lead*: how probably a similar key scores higher than each of some random keys: by a normal
  approximation, and from samples.
- *zero*: where the mean lead becomes negative for the first time, as heads get wider, and where
  that tends to.
- *models*: how far published models miss the rule that it should not within their context.

A standard error is written beside every number from samples. It is 0 where all samples agreed.
"""

import argparse
import math
from collections.abc import Iterator

import torch
from common import Place, parser, run_all

from rope_lib import Llama3, inverse_frequencies
from rope_lib.course import decay

# Deviations of the two numbers of a pair, and their correlation: of the queries, then of the keys.
SPREADS = {
    "equal": ([1, 1, 0], [1, 1, 0]),
    "unequal": ([1, 0.2, 0], [1, 0.2, 0]),
    "unequal queries": ([1, 0.2, 0], [1, 1, 0]),
    "correlated": ([1, 1, 0.9], [1, 1, 0.9]),
}
# Random keys, and the deviation of their numbers; a similar key's is the square root of 2.
LEADS = {"one": (1, 1.0), "one as long": (1, math.sqrt(2)), "best of 1,000": (1000, 1.0)}
BATCH = 10_000  # random keys at a time
# From the configurations of the released models; LLaMA 2's base is that of arXiv 2309.16039.
MODELS = {
    "LLaMA 2": {"head_dim": 128, "base": 1e4, "length": 4096},
    "Llama 3": {"head_dim": 128, "base": 5e5, "length": 8192},
    "Llama 3.1": {"head_dim": 128, "base": 5e5, "length": 131_072, "factor": 8, "original": 8192},
    "Qwen2.5": {"head_dim": 128, "base": 1e6, "length": 32_768},
    "SmolLM2": {"head_dim": 64, "base": 1e5, "length": 8192},
}


def work(run: dict, place: Place) -> dict:
    """One run of any kind."""
    find = {"spread": spread, "lead": lead, "zero": zero, "model": model}[run["kind"]]
    result = find(run)
    place.tick(run["steps"])
    return result


def spread(run: dict) -> dict:
    """Standard deviations of scores by distance."""
    inv_freq, distances = _setting(run)
    q_factor, k_factor = (factor(run["head_dim"], *run[side]) for side in ("query", "key"))
    exact = decay.score_spread(q_factor, k_factor, inv_freq, distances, pairing="interleaved")
    generator = torch.Generator().manual_seed(run["seed"])
    seen = []
    for size in _batches(run["pairs"]):
        q, k = (_normal(generator, size, run["head_dim"]) @ f for f in (q_factor, k_factor))
        scores = decay.score_by_distance(q, k, inv_freq, distances, pairing="interleaved")
        seen.append(scores.square().mean(dim=0))
    variances = torch.stack(seen)
    sampled = variances.mean(dim=0).sqrt()
    # The error of a mean square over batches, carried over to its root.
    error = variances.std(dim=0) / math.sqrt(len(seen)) / (2 * sampled)
    return {
        "exact": _by_distance(run, exact),
        "sampled": _by_distance(run, sampled),
        "error": _by_distance(run, error),
    }


def factor(head_dim: int, first: float, second: float, correlation: float) -> torch.Tensor:
    """What turns independent numbers into pairs with these deviations and this correlation."""
    rest = math.sqrt(1 - correlation**2)
    pair = torch.tensor([[first, correlation * second], [0, rest * second]], dtype=torch.float64)
    return torch.block_diag(*[pair] * (head_dim // 2))


def lead(run: dict) -> dict:
    """The mean lead, the spread of the similar key's score, and how probably it wins."""
    inv_freq, distances = _setting(run)
    formula = decay.lead_probability(
        inv_freq, distances, noise=run["noise"], keys=run["keys"], deviation=run["deviation"]
    )
    generator = torch.Generator().manual_seed(run["seed"])
    won = torch.zeros(len(distances), dtype=torch.float64)
    for size in _batches(run["trials"], run["keys"]):
        q, noise = _normal(generator, 2, size, run["head_dim"])
        random = run["deviation"] * _normal(generator, size, run["keys"], run["head_dim"])
        similar, others = (
            decay.score_by_distance(q[:, None], k, inv_freq, distances, pairing="interleaved")
            for k in ((q + run["noise"] * noise)[:, None], random)
        )
        won += (similar > others).all(dim=1).sum(dim=0)
    sampled = won / run["trials"]
    error = (sampled * (1 - sampled) / run["trials"]).sqrt()
    similar_spread = decay.similar_spread(inv_freq, distances, noise=run["noise"])
    return {
        "lead": _by_distance(run, decay.uniform_score(inv_freq, distances)),
        "similar_spread": _by_distance(run, similar_spread),
        "random_spread": _rounded(run["deviation"] * math.sqrt(run["head_dim"])),
        "formula": _by_distance(run, formula),
        "sampled": _by_distance(run, sampled),
        "error": _by_distance(run, error),
    }


def zero(run: dict) -> dict:
    """The first distance with a negative mean lead: by width, and for ever more pairs."""
    base = run["base"]
    limit = torch.arange(1, int(base))
    first = {
        str(width): decay.first_negative(inverse_frequencies(width, base), int(base))
        for width in run["widths"]
    }
    many = 1 + int((decay.many_pairs_mean(limit, base) < 0).nonzero()[0])
    return {
        "first_negative": first,
        "in_bases": {width: _rounded(distance / base) for width, distance in first.items()},
        "first_negative_many_pairs": many,
        "limit_in_bases": round(decay.many_pairs_reach(), 10),
    }


def model(run: dict) -> dict:
    """How far below zero the mean lead falls within the context of a model."""
    inv_freq = inverse_frequencies(run["head_dim"], run["base"])
    if "factor" in run:
        scaling = Llama3(run["factor"], run["original"])
        inv_freq = scaling.inverse_frequencies(run["head_dim"], run["base"])
    missed = decay.shortfall(inv_freq, run["length"])
    return {
        "first_negative": missed.first,
        "negative": missed.count,
        "share": _rounded(missed.count / run["length"]),
        "lowest": _rounded(missed.lowest),
        "lowest_at": missed.at,
        "highest": run["head_dim"],  # at distance 0, to compare the lowest with
    }


def _setting(run: dict) -> tuple[torch.Tensor, torch.Tensor]:
    return inverse_frequencies(run["head_dim"], run["base"]), torch.tensor(run["distances"])


def _normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _batches(total: int, keys: int = 1) -> Iterator[int]:
    """Sizes that add up to ``total``, none of them with more than ``BATCH`` random keys."""
    size = max(1, BATCH // keys)
    for start in range(0, total, size):
        yield min(size, total - start)


def _by_distance(run: dict, values: torch.Tensor) -> dict[str, float]:
    numbers = zip(run["distances"], values.tolist(), strict=True)
    return {str(distance): _rounded(value) for distance, value in numbers}


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def plan(args: argparse.Namespace) -> list[dict]:
    """The runs of all kinds; those with samples once for each seed."""
    common = {"head_dim": 128, "base": 1e4, "steps": 1}
    runs = []
    for seed in args.seeds:
        for kind, (query, key) in SPREADS.items():
            runs.append({
                "name": f"spread {kind} {seed}", "kind": "spread", "case": kind, **common,
                "query": query, "key": key, "distances": [0, 5, 100, 1000], "pairs": args.pairs,
                "seed": seed,
            })  # fmt: skip
        for case, (keys, deviation) in LEADS.items():
            runs.append({
                "name": f"lead {case} {seed}", "kind": "lead", "case": case, **common,
                "keys": keys, "deviation": deviation, "noise": 1.0, "distances": grid(),
                "trials": args.pairs if keys == 1 else args.trials, "seed": seed,
            })  # fmt: skip
    widths = [2**power for power in range(6, 16)]
    runs.append({"name": "zero", "kind": "zero", "base": 1e4, "widths": widths, "steps": 1})
    for name, setting in MODELS.items():
        runs.append({"name": name, "kind": "model", "model": name, **setting, "steps": 1})
    return runs


def grid() -> list[int]:
    """Four distances a factor of ten from 1 to 31,623, 0, and those that the text speaks of."""
    even = {round(10 ** (power / 4)) for power in range(19)}
    return sorted(even | {0, 100, 500, 1000, 1706})


def main() -> None:
    made = parser(__doc__)
    made.set_defaults(seeds=[0])
    made.add_argument("--pairs", type=int, default=200_000, help="random pairs in a sample")
    made.add_argument("--trials", type=int, default=4000, help="queries with 1,000 random keys")
    args = made.parse_args()
    run_all("decay", args, plan(args), work)


if __name__ == "__main__":
    main()
