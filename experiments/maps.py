"""Rotation in two dimensions, after the softmax: where the weight goes, and what an origin does.

Nothing is trained here. The maps are those of chapter 9: a head that gives all its pairs equal
weight and looks at one place, whose score is the mean cosine of the angles to that place. The score
there times the *lead* goes into the softmax, so that the lead is by how much the logit of the peak
exceeds that of a key whose angles are all over the circle.

- *map*: the share of the weight near the peak, and how scores far off depend on the direction.
- *diagonals*: random heads. With axial frequencies the scores of the two diagonals tie as sums, and
  so their weights tie as products.
- *origin*: a token that does not turn, such as a class token, stands at the origin of the
  coordinates: at the first patch, or in the middle of the image.
"""

import argparse
import math

import torch
from common import Place, parser, run_all

from rope_lib import inverse_frequencies
from rope_lib.course.maps import (
    GOLDEN_ANGLE,
    axial_frequencies,
    largest_gap,
    mean_cosine,
    mixed_frequencies,
)
from rope_lib.models.grids import centered_grid

REACH = 10  # rows and columns to each side of the query
NEAR = 2  # the same around the peak: 5 by 5 places
FAR = 8  # patches from the peak, and more
KINDS = ("line", "axial", "golden", "half golden")


def frequencies(kind: str, pairs: int, base: float) -> torch.Tensor:
    """Radians for each row and for each column, ``(2, pairs)``."""
    if kind == "line":  # reading order: a row down is a whole row of patches on
        ladder = inverse_frequencies(2 * pairs, 1e4)
        return torch.stack(((2 * REACH + 1) * ladder, ladder))
    if kind == "axial":
        return axial_frequencies(pairs, base)
    return mixed_frequencies(pairs, base, GOLDEN_ANGLE / (1 if kind == "golden" else 2))


def work(run: dict, place: Place) -> dict:
    """One run of any kind."""
    result = {"map": look, "diagonals": diagonals, "origin": origin}[run["kind"]](run)
    place.tick(run["steps"])
    return result


def look(run: dict) -> dict:
    """Weight near the peak by lead, and scores far away."""
    waves = frequencies(run["frequencies"], run["pairs"], run["base"])
    reach = torch.arange(-REACH, REACH + 1)
    rows, columns = torch.meshgrid(reach, reach, indexing="ij")
    down, right = rows - run["peak"][0], columns - run["peak"][1]
    scores = mean_cosine(down, right, waves)
    near = (down.abs() <= NEAR) & (right.abs() <= NEAR)
    found = {
        "near_share": {
            str(lead): _rounded(softmax(lead * scores)[near].sum()) for lead in run["leads"]
        },
        "even_share": _rounded(near.double().mean()),  # if all places had the same weight
        "far_row": _rounded(scores[(down == 0) & (right.abs() >= FAR)].mean()),
        "far_column": _rounded(scores[(right == 0) & (down.abs() >= FAR)].mean()),
    }
    if run["frequencies"] == "line":
        return found
    around = by_direction(waves)
    return {
        **found,
        "far_directions": {
            "mean": _rounded(around.mean()), "spread": _rounded(around.std()),
            "least": _rounded(around.min()), "most": _rounded(around.max()),
        },
        "largest_gap": round(largest_gap(waves), 3),
    }  # fmt: skip


def by_direction(waves: torch.Tensor) -> torch.Tensor:
    """The mean score between 8 and 18 patches from the peak, for each whole degree up to 180."""
    angle = torch.deg2rad(torch.arange(180, dtype=torch.float64)).unsqueeze(-1)
    distance = torch.arange(FAR, FAR + 10.01, 0.25, dtype=torch.float64)
    return mean_cosine(distance * angle.sin(), distance * angle.cos(), waves).mean(dim=-1)


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Over all places of a map, or of a stack of maps."""
    return logits.flatten(-2).softmax(dim=-1).view_as(logits)


def diagonals(run: dict) -> dict:
    """How the four corners next to the query compare, before and after the softmax."""
    waves = frequencies(run["frequencies"], run["pairs"], run["base"])
    generator = torch.Generator().manual_seed(run["seed"])
    scores = random_heads(waves, run["heads"], generator)
    falling, rising = corners(scores)
    weights_falling, weights_rising = corners(softmax(scores))
    sums = falling.sum(dim=-1) - rising.sum(dim=-1)
    products = (weights_falling.prod(dim=-1) / weights_rising.prod(dim=-1)).log()
    added = (weights_falling.sum(dim=-1) / weights_rising.sum(dim=-1)).log()
    whole = (weights_falling.amin(-1) > weights_rising.amax(-1)) | (
        weights_rising.amin(-1) > weights_falling.amax(-1)
    )
    return {
        # Rounded, since what is 0 in exact arithmetic depends on the machine in the last digit.
        "sums_of_scores_differ": round(sums.abs().median().item(), 9),
        "log_products_of_weights_differ": round(products.abs().median().item(), 9),
        "log_sums_of_weights_differ": round(added.abs().median().item(), 9),
        "one_diagonal_above_the_other": _rounded(whole.double().mean()),
    }


def random_heads(waves: torch.Tensor, heads: int, generator: torch.Generator) -> torch.Tensor:
    """Scores of standard normal queries and keys over a map, divided by the root of the width."""
    pairs = waves.shape[-1]
    q, k = torch.randn(2, heads, pairs, 2, generator=generator, dtype=torch.float64)
    products = torch.view_as_complex(q) * torch.view_as_complex(k).conj()
    reach = torch.arange(-REACH, REACH + 1, dtype=torch.float64)
    # Row and column of the key minus those of the query.
    turned = torch.exp(-1j * reach.unsqueeze(-1) * waves.unsqueeze(-2))  # (2, places, pairs)
    scores = torch.einsum("hp,rp,cp->hrc", products, *turned).real
    return scores / math.sqrt(2 * pairs)


def corners(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The places (1, 1) and (-1, -1), and (1, -1) and (-1, 1), each ``(heads, 2)``."""
    down, up = REACH + 1, REACH - 1
    falling, rising = ((down, down), (up, up)), ((down, up), (up, down))
    return tuple(torch.stack([maps[:, r, c] for r, c in two], dim=-1) for two in (falling, rising))


def origin(run: dict) -> dict:
    """What an unturned query with equal weight on its pairs sees of keys like it in an image."""
    side = run["side"]
    places = centered_grid(side, side).unflatten(-1, (side, side))
    if run["origin"] == "first patch":
        places = places - places[:, :1, :1]
    scores = mean_cosine(*places, axial_frequencies(run["pairs"], run["base"]))
    weights = softmax(run["lead"] * scores)
    half = side // 2
    quarters = weights.unflatten(0, (2, half)).unflatten(2, (2, half)).sum(dim=(1, 3))
    return {
        "highest": [_rounded(scores.max()), *divmod(int(scores.argmax()), side)],
        "quarters": [[_rounded(share) for share in row] for row in quarters],
    }


def _rounded(value: torch.Tensor) -> float:
    return float(f"{value.item():.6g}")


def plan(args: argparse.Namespace) -> list[dict]:
    """Maps around the peak of chapter 9 and around the query; random heads; two origins."""
    head = {"pairs": 16, "base": 10.0, "steps": 1}
    runs = [
        {"name": f"{kind} {peak[0]} {peak[1]}", "kind": "map", "frequencies": kind,
         "peak": peak, "leads": [6, 12], **head}
        for kind in KINDS
        for peak in ([3, -5], [0, 0])
    ]  # fmt: skip
    runs += [
        {"name": f"diagonals {kind} {seed}", "kind": "diagonals", "frequencies": kind,
         "heads": args.heads, "seed": seed, **head}
        for kind in KINDS[1:]
        for seed in args.seeds
    ]  # fmt: skip
    # Width and base of DINOv3, and its coordinates, whose origin is the middle of the image.
    runs += [
        {"name": f"origin {where}", "kind": "origin", "origin": where, "side": 16, "lead": 6,
         "pairs": 32, "base": 100.0, "steps": 1}
        for where in ("first patch", "middle")
    ]  # fmt: skip
    return runs


def main() -> None:
    made = parser(__doc__)
    made.set_defaults(seeds=[0])
    made.add_argument("--heads", type=int, default=1000, help="random heads")
    args = made.parse_args()
    run_all("maps", args, plan(args), work)


if __name__ == "__main__":
    main()
