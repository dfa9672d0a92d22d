"""What tests of the scripts in experiments/ share."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def scripts(monkeypatch):
    """The scripts import each other as they do when one of them is run."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    torch.set_num_threads(1)


@pytest.fixture
def tuned(tmp_path):
    """Folders for results and work, with the stored tuning that comparisons begin with."""
    (tmp_path / "tune.json").write_text((EXPERIMENTS / "results" / "tune.json").read_text())
    return ["--results", str(tmp_path), "--work", str(tmp_path / "work"), "--device", "cpu"]


@pytest.fixture
def run_here(monkeypatch):
    """A command within this process, where one that is refused raises."""

    def go(script, *options):
        monkeypatch.setattr(sys, "argv", [str(EXPERIMENTS / f"{script}.py"), *options])
        importlib.import_module(script).main()

    return go


@pytest.fixture
def little_text(scripts, monkeypatch):
    """Give a script less text, and losses over fewer bytes, than a result that is kept has."""
    import fair
    import training

    texts, validate = tuple(text[:50_000] for text in training.plays()), training.validate
    monkeypatch.setattr(
        training, "validate", lambda model, length, _, text: validate(model, length, 4, text=text)
    )
    monkeypatch.setattr(fair, "HELD_OUT", 16 * 32)

    def give(script):
        for module in (script, training):
            monkeypatch.setattr(module, "plays", lambda: texts)

    return give
