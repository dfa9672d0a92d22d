"""What trained heads do with distance: their weights, and RoPE's scores against its bounds.

It looks at the models that ``compare.py`` trained at one length, each encoding at its best
learning rate, before and after training. Where their weights are no longer in the work folder,
they are trained again.

For every head: the mean weight on a key so many bytes back, and the share that falls on the
nearest eight. For RoPE also: the mean score of queries and keys from unrelated places, by distance
(rotation is linear in each, so this is the score of their two means), and scores of unrelated
pairs as a part of RoFormer's bound and of ``|q| |k|``.
"""

import argparse
from dataclasses import replace

import torch
from common import Place, parser, run_all
from compare import best, build, fit, stored_runs
from training import ENCODINGS

from rope_lib import inverse_frequencies
from rope_lib.course.attention import attention_weights, encode
from rope_lib.course.decay import partial_sums, score_by_distance
from rope_lib.course.decoder import Decoder
from rope_lib.course.results import select
from rope_lib.course.text import shakespeare, windows

DISTANCES = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 127)
NEAR = 8  # bytes, the query's own included
PAIRS = 2000  # random pairs of a query and a key, for the bounds
KEPT = (
    "encoding", "start", "length", "batch", "steps", "learning_rate", "seed", "width", "layers",
    "heads",
)  # fmt: skip


def work(run: dict, place: Place) -> dict:
    """Look at one model before and after training."""
    fresh = build(run).to(place.device)
    before = look(fresh, run)
    model = build(run)
    fit(model, run, replace(place, folder=place.folder.parent / "compare"), run["trained_as"])
    after = look(model, run)
    result = {"distances": shown(run), "near": NEAR, "before": before, "after": after}
    if run["encoding"] == "rope":
        result["scores_before"] = look_at_scores(fresh, run)
        result["scores_after"] = look_at_scores(model, run)
    return result


def shown(run: dict) -> list[int]:
    """The distances that the later half of the queries has."""
    return [distance for distance in DISTANCES if distance < run["length"] // 2]


@torch.no_grad()
def heads_of(model: Decoder, run: dict) -> list[tuple[torch.Tensor, ...]]:
    """Queries and keys of each layer on held-out text, not yet turned, and the encoding."""
    seen = []

    def keep(q, k, v, *, encoding, positions):
        seen.append((q, k, encoding))
        return mixer(q, k, v, encoding=encoding, positions=positions)

    mixer = model.blocks[0].mixer
    for block in model.blocks:
        block.mixer = keep
    pieces = windows(shakespeare("validation"), run["length"], run["pieces"], seed=3)
    model(pieces[:, :-1].to(next(model.parameters()).device))
    for block in model.blocks:
        block.mixer = mixer
    return seen


def look(model: Decoder, run: dict) -> dict:
    """Mean weights by distance, ``[layer][head][distance]``, over the later half of the queries."""
    weight, near = [], []
    for q, k, encoding in heads_of(model, run):
        q, k, bias = encode(q, k, encoding, None)
        weights = attention_weights(q, k, bias=bias, causal=True).double().mean(dim=0)
        half = weights.shape[-1] // 2
        # Row i, read backwards from its own place: distances 0 .. half - 1.
        rows = [weights[:, i, i - half + 1 : i + 1].flip(-1) for i in range(half, 2 * half)]
        by_distance = torch.stack(rows).mean(dim=0)
        weight.append(_rounded(by_distance[:, shown(run)]))
        near.append(_rounded(by_distance[:, :NEAR].sum(dim=-1)))
    return {"weight": weight, "near_share": near}


def look_at_scores(model: Decoder, run: dict) -> dict:
    """Scores of unrelated queries and keys: their mean by distance, and how far below the bounds.

    All scores are divided by ``sqrt(head_dim)``, as attention does.
    """
    distances = torch.arange(run["length"] // 2)
    inv_freq = inverse_frequencies(run["width"] // run["heads"])
    sums = partial_sums(inv_freq, distances).abs()
    generator = torch.Generator().manual_seed(run["seed"])
    found = {"mean": [], "spread": [], "of_bound": [], "of_lengths": []}
    for q, k, _ in heads_of(model, run):
        q, k = (x.transpose(0, 1).flatten(1, 2).double().cpu() for x in (q, k))
        scale = q.shape[-1] ** -0.5
        chosen = torch.randint(q.shape[1], (2, PAIRS), generator=generator)
        some_q, some_k = q[:, chosen[0]], k[:, chosen[1]]
        scores = score_by_distance(some_q, some_k, inv_freq, distances, pairing="half")
        # The exact mean over all pairs of places, not only the chosen ones.
        means = score_by_distance(q.mean(1), k.mean(1), inv_freq, distances, pairing="half")
        found["mean"].append(_rounded(scale * means[:, shown(run)]))
        found["spread"].append(_rounded(scale * scores.std(dim=1)[:, shown(run)]))
        bound = _largest_step(some_q, some_k).unsqueeze(-1) * sums.sum(dim=-1)
        lengths = (some_q.norm(dim=-1) * some_k.norm(dim=-1)).unsqueeze(-1)
        found["of_bound"].append(_rounded((scores.abs() / bound).flatten(1).median(dim=-1).values))
        found["of_lengths"].append(
            _rounded((scores.abs() / lengths).flatten(1).median(dim=-1).values)
        )
    return found


def _largest_step(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """``max |h_(i+1) - h_i|`` of RoFormer's bound: ``h = q conj(k)``, and a 0 behind the last."""
    (q_real, q_imag), (k_real, k_imag) = q.chunk(2, dim=-1), k.chunk(2, dim=-1)
    h = torch.complex(q_real, q_imag) * torch.complex(k_real, k_imag).conj()
    return torch.nn.functional.pad(h, (0, 1)).diff(dim=-1).abs().amax(dim=-1)


def _rounded(x: torch.Tensor) -> list:
    return [_rounded(part) for part in x] if x.ndim else float(f"{x.item():.4g}")


def plan(args: argparse.Namespace) -> list[dict]:
    """One run for each model that compare.py trained at this length and its best rate."""
    settings = best(args, "compare", length=args.length)
    stored = stored_runs(args, "compare")
    runs = []
    for encoding in args.encodings:
        for seed in args.seeds:
            (run,) = select(
                stored, encoding=encoding, length=args.length, seed=seed, **settings[encoding]
            )
            kept = {key: run[key] for key in KEPT}
            name = {"name": f"{encoding}-{seed}", "trained_as": run["name"]}
            runs.append({**name, **kept, "pieces": args.pieces})
    return runs


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--encodings", nargs="+", default=ENCODINGS, choices=ENCODINGS)
    made.add_argument("--length", type=int, default=256)
    made.add_argument("--pieces", type=int, default=16)
    args = made.parse_args()
    run_all("heads", args, plan(args), work)


if __name__ == "__main__":
    main()
