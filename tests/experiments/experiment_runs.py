"""Reading what a command of experiments/ has written."""

import json
from pathlib import Path


def stored(folder, name):
    return json.loads((Path(folder) / f"{name}.json").read_text())["runs"]


def results_only(runs):
    """Without what differs from call to call."""
    return [{k: v for k, v in run.items() if k not in ("seconds", "provenance")} for run in runs]
