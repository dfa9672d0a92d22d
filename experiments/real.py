"""What the experiments on the real model share: options, the loaded model, its windows of text.

One run is one window: everything that a script compares is measured on the same tokens, so that
differences are paired by window. Each process loads the model once.
"""

import argparse
import math
from functools import lru_cache
from pathlib import Path

import passages
import smollm
import torch
from common import parser as common_parser
from llama import Llama
from passages import Window
from tokenizers import Tokenizer

WINDOWS = 16


def parser(description: str, *, windows: int = WINDOWS) -> argparse.ArgumentParser:
    """The options of an experiment on the real model."""
    made = common_parser(description)
    made.set_defaults(seeds=[0])
    made.add_argument("--model", type=Path, default=smollm.MODEL, help="a GGUF file")
    made.add_argument("--windows", type=int, default=windows, help="stretches of the plays")
    made.add_argument("--only", type=int, nargs="+", help="of these windows, by number")
    return made


def plan(args: argparse.Namespace, **settings) -> list[dict]:
    """One run for each window and seed."""
    numbers = range(args.windows) if args.only is None else args.only
    return [
        {"name": f"{number:02}-{seed}", "model": args.model.name, "window": number, "seed": seed,
         "windows": args.windows, **settings}
        for seed in args.seeds for number in numbers
    ]  # fmt: skip


def folder_of(args: argparse.Namespace):
    """Where the model lies, for the processes that work: a file of this name in this folder."""
    return str(args.model.parent.resolve())


@lru_cache(maxsize=1)
def load(path: str, device: torch.device) -> Llama:
    """The model, once in each process."""
    return smollm.load(Path(path)).to(device)


@lru_cache(maxsize=1)
def words(path: str) -> tuple[Tokenizer, torch.Tensor]:
    """Its tokenizer, and the plays as tokens."""
    tokenizer = smollm.tokenizer(Path(path))
    return tokenizer, passages.plays(tokenizer)


def window(run: dict, path: str, length: int, passage: int, distances=(), **more) -> Window:
    """The window of a run."""
    tokenizer, ids = words(path)
    return passages.make_window(
        tokenizer, ids, run["window"], count=run["windows"], length=length, passage=passage,
        distances=distances, seed=run["seed"], **more,
    )  # fmt: skip


def rounded(value, digits: int = 4):
    """Numbers of a result, nested as they are, as short as they are true; None for NaN."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: rounded(part, digits) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part, digits) for part in value]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value
