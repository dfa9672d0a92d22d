"""Trained at 256 bytes, read with up to 2,048: what fails, what mends it, and what was the cause?

Every score is of the same last 128 bytes of the same 64 held-out pieces; only the text before them
grows. Three encodings are trained at the rates that ``fair.py --tune`` found for them at this
length. ALiBi and T5's bias are read as trained. RoPE is read, without any further training, in all
the ways of ``WAYS``:

- the usual remedies: a moving window, each scaling, distances clamped to what was trained on
  (ReRoPE), scores that grow like the logarithm of the number of keys, and the last two together;
- *unseen distances*, pair by pair: clamped only in the slow pairs, those that do not finish a turn
  within 256 bytes, or only in the fast ones;
- *unseen angles*: the slow pairs frozen, so that they do not turn at all, after training as usual;
  and a model that was trained with them frozen (``rope_frozen``), read plain and clamped. In either
  no pair meets an angle that it did not meet in training;
- *too many keys*: never more than 256 keys, the nearest 128 and 128 that are spaced evenly among
  the rest, at their true distances and at clamped ones.

Said before anything was run. All differences are paired by seed and have Student's 95 % interval
over the five seeds. A difference *counts* if its mean is at least 0.01 nats a byte and the interval
excludes 0; with a smaller mean it is called small, and otherwise undecided.

- *The failure* at a context is how far the loss of plain RoPE is above its loss at 256 bytes.
- *Too many keys* is how far the loss with clamped distances is above the same loss at 256 bytes:
  every distance was then met in training, and only the number of keys is new. The check with the
  distances held is ``clamped`` minus ``few_keys_clamped``: both see the far keys at the same
  distance, but the second sees only some of them. That also takes text away from it, which makes
  this an estimate that is, if anything, too low.
- *Unseen distances* is what clamping takes away at the same context: plain minus ``clamped``. The
  check with the number of keys held is ``few_keys`` minus ``few_keys_clamped``.
- *Unseen angles* is what clamping the slow pairs takes away: the fast ones go through all angles
  within 256 bytes. They are called *the* cause only if that is at least nine tenths of what
  clamping all pairs takes away. What that takes away beyond it (``slow_pairs_clamped`` minus
  ``clamped``) is due to *new combinations* of angles, each of which is known. So is what clamping
  takes away from ``rope_frozen``, where all pairs that turn are fast.
- A way to read is *better* than another at 2,048 bytes only if the 95 % interval, corrected after
  Bonferroni for the comparisons with plain RoPE (all ways but itself), excludes 0. It has a *price*
  if its loss at 256 bytes is above that of plain RoPE by the same rule.

The intervals are over trainings. How much the scores depend on the text can be computed from the
loss of each piece, which is stored, too.
"""

import argparse
from functools import partial

import torch
from common import Place, finite, parser, run_all
from compare import stored_runs
from mixers import ReadRope
from torch.nn.functional import cross_entropy
from training import Model, Schedule, make_model, train

from rope_lib import (
    NTK,
    DynamicNTK,
    Linear,
    Llama3,
    Proportional,
    RotaryEmbedding,
    YaRN,
    inverse_frequencies,
)
from rope_lib.course.decoder import Decoder, Mixer, causal_attention
from rope_lib.course.results import best_settings, select
from rope_lib.course.text import shakespeare, windows
from rope_lib.frequencies import proportional_frequencies, wavelengths

ENCODINGS = ("rope", "alibi", "t5", "rope_frozen")
SCALINGS = {  # from a factor and the trained length
    "linear": lambda factor, length: Linear(factor),
    "ntk": lambda factor, length: NTK(factor),
    "yarn": YaRN,
    "yarn_no_temperature": lambda factor, length: YaRN(factor, length, attention_factor=1.0),
    "llama3": Llama3,
}
MIXERS = (
    "window", "clamped", "clamped_at_half", "clamped_log_n", "log_n", "slow_pairs_clamped",
    "fast_pairs_clamped", "few_keys", "few_keys_clamped",
)  # fmt: skip
FACTORS = (4, 8)
# Ways to read a trained RoPE model, beside plain, each with its factor.
WAYS = (
    *((way, factor) for way in SCALINGS for factor in FACTORS),
    ("dynamic_ntk", 1),
    ("slow_pairs_frozen", 1),
    *((way, 1) for way in MIXERS),
)
GROWS = (1, 2, 4, 8)  # times the trained length
SCORED_TOKENS = 2048  # in one pass, at least one piece


def work(run: dict, place: Place) -> dict:
    """Train a model, or change how a trained one reads; score it with more and more text before."""
    model = build(run)
    curve = fit(model, run, place)
    losses = {}
    for context in run["contexts"]:
        change(model, run, context)
        losses[str(context)] = piece_losses(model, run, context)
    return {
        **({"curve": [[step, finite(x)] for step, x in curve]} if run["way"] == "plain" else {}),
        "losses": {context: finite(x.mean().item()) for context, x in losses.items()},
        "piece_losses": {n: [finite(y, 4) for y in x.tolist()] for n, x in losses.items()},
    }


def build(run: dict) -> Decoder:
    """The model of a run, at its start."""
    is_frozen = run["encoding"] == "rope_frozen"
    sizes = {key: run[key] for key in ("start", "width", "layers", "heads")}
    name = "rope" if is_frozen else run["encoding"]
    model = make_model(Model(name, **sizes), run["length"], run["seed"])
    if is_frozen:
        model.encoding = rope(run, Proportional(turning_share(run)))
    return model


def fit(model: Decoder, run: dict, place: Place) -> list:
    """Train the model as the run says, or read it from its checkpoint; returns its curve."""
    schedule = Schedule(
        run["length"], run["batch"], run["steps"], run["learning_rate"], own=run["own"]
    )
    return train(model, schedule, run["seed"], place, f"{run['encoding']}-{run['seed']}")


def change(model: Decoder, run: dict, context: int) -> None:
    """Give a trained model the rotation or the attention of a way to read ``context`` bytes."""
    way, factor, length = run["way"], run["factor"], run["length"]
    if way in SCALINGS:
        model.encoding = rope(run, SCALINGS[way](factor, length))
    elif way == "dynamic_ntk":
        model.encoding = rope(run, DynamicNTK(factor, length).at_length(context))
    elif way == "slow_pairs_frozen":
        model.encoding = rope(run, Proportional(turning_share(run)))
    elif way != "plain":
        for block in model.blocks:
            block.mixer = mixer_of(run)


def rope(run: dict, scaling) -> RotaryEmbedding:
    return RotaryEmbedding(head_dim(run), pairing="half", scaling=scaling)


def head_dim(run: dict) -> int:
    return run["width"] // run["heads"]


def turning_share(run: dict) -> float:
    """The share of the pairs that finish a turn within the trained length."""
    fast = wavelengths(inverse_frequencies(head_dim(run))) <= run["length"]
    return fast.sum().item() / len(fast)


def mixer_of(run: dict) -> Mixer:
    """The attention of a way to read that leaves the frequencies as they were trained."""
    length, half = run["length"], run["length"] // 2
    share = turning_share(run) if run["encoding"] == "rope_frozen" else 1.0
    read = partial(ReadRope, proportional_frequencies(head_dim(run), share))
    slow = wavelengths(read().inv_freq) > length
    clamped = partial(read, largest=length - 1)
    return {
        "window": partial(causal_attention, window=length),
        "clamped": clamped(),
        "clamped_at_half": read(largest=half),
        "clamped_log_n": clamped(trained=length),
        "log_n": read(trained=length),
        "slow_pairs_clamped": clamped(pairs=slow),
        "fast_pairs_clamped": clamped(pairs=~slow),
        "few_keys": read(near=half, far=length - half),
        "few_keys_clamped": clamped(near=half, far=length - half),
    }[run["way"]]


@torch.no_grad()
def piece_losses(model: Decoder, run: dict, context: int) -> torch.Tensor:
    """Nats a byte over the last bytes of each held-out piece, read with ``context`` bytes."""
    longest, scored = max(run["contexts"]), run["length"] // 2
    pieces = windows(shakespeare("validation"), longest, run["pieces"], seed=1)
    pieces = pieces[:, -(context + 1) :].to(next(model.parameters()).device)
    found = []
    for part in pieces.split(max(1, SCORED_TOKENS // context)):
        scores = model(part[:, :-1])[:, -scored:]
        losses = cross_entropy(scores.transpose(1, 2), part[:, -scored:], reduction="none")
        found.append(losses.mean(dim=1))
    return torch.cat(found).cpu()


def settings(args: argparse.Namespace, encoding: str) -> dict:
    """The size at the start, the learning rate and ``own`` that suited an encoding best."""
    tuned = stored_runs(args, "fair_tune", "run fair.py with --tune first")
    kin = "rope" if encoding == "rope_frozen" else encoding
    by = ("start", "learning_rate", "own")
    return best_settings(select(tuned, encoding=kin, length=args.length), by)


def plan(args: argparse.Namespace) -> tuple[list[dict], list[dict]]:
    """The runs that train, and those that read what these leave behind."""
    found = {encoding: settings(args, encoding) for encoding in ENCODINGS}

    def run(encoding: str, way: str, factor: int, seed: int) -> dict:
        return {
            "name": f"{encoding}-{way}-{factor}-{seed}", "encoding": encoding, "way": way,
            "factor": factor, "seed": seed, **found[encoding], "length": args.length,
            "batch": args.batch, "steps": args.steps, "width": args.width, "layers": args.layers,
            "heads": args.heads, "contexts": [times * args.length for times in GROWS],
            "pieces": args.pieces,
        }  # fmt: skip

    first, then = [], []
    for seed in args.seeds:
        first += [run(encoding, "plain", 1, seed) for encoding in ENCODINGS]
        then += [run("rope", way, factor, seed) for way, factor in WAYS]
        then += [run("rope_frozen", "clamped", 1, seed)]
    return first, then


def main() -> None:
    made = parser(__doc__)
    made.set_defaults(seeds=[0, 1, 2, 3, 4])
    made.add_argument("--length", type=int, default=256, help="of training")
    made.add_argument("--steps", type=int, default=1000)
    made.add_argument("--batch", type=int, default=8)
    made.add_argument("--width", type=int, default=128)
    made.add_argument("--layers", type=int, default=3)
    made.add_argument("--heads", type=int, default=4)
    made.add_argument("--pieces", type=int, default=64)
    args = made.parse_args()
    first, then = plan(args)
    run_all("length_controls", args, first, work, write=False)
    run_all("length_controls", args, first + then, work)


if __name__ == "__main__":
    main()
