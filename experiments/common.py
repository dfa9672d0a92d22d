"""What all experiments share: a command line, many runs at once, resumption, and the result file.

An experiment is a list of runs. A run is a dictionary of plain settings with a ``name``; its result
is a dictionary too. Each finished run is stored at once, so a command that was interrupted goes on
where it stopped when it is given again. Runs that the result file already holds count as finished,
so that on a fresh machine a command goes on from the committed results.
"""

import argparse
import json
import math
import multiprocessing
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy
import torch
import torch.distributed as dist
from tqdm import tqdm

import rope_lib

HERE = Path(__file__).resolve().parent
CPU = Path("/proc/cpuinfo")
FOLDERS = ("--work", "--results", "--model")  # options that name a place on one machine
OPTIONAL = ("text",)  # settings that a run may lack


@dataclass
class Place:
    """Where a run is worked on: its device, the folder of its files, and who counts its steps."""

    device: torch.device
    folder: Path
    tick: Callable[[int], object] = lambda steps: None

    @property
    def rank(self) -> int:
        return dist.get_rank() if dist.is_initialized() else 0

    @property
    def world(self) -> int:
        return dist.get_world_size() if dist.is_initialized() else 1


Work = Callable[[dict, Place], dict]


def parser(description: str) -> argparse.ArgumentParser:
    """The options that every experiment has."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--jobs", type=int, default=1, help="runs side by side, one thread each")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--results", type=Path, default=HERE / "results", help="folder of the JSON")
    made.add_argument(
        "--work", type=Path, default=HERE / "runs", help="folder of finished runs and weights"
    )
    return made


def run_all(
    name: str,
    args: argparse.Namespace,
    runs: list[dict],
    work: Work,
    *,
    write: bool = True,
    from_results: bool = True,
) -> None:
    """Do every run that is not finished yet; write ``results/name.json``, unless more runs follow.

    Under ``torchrun`` all processes share each run. Otherwise ``args.jobs`` runs go side by side.

    Args:
        name: of the result file, and of the folder of finished runs in ``args.work``.
        args: the options of :func:`parser`.
        runs: all runs of the result, in its order.
        work: does one run.
        write: False where this is only a part of the runs.
        from_results: whether runs of the result file count as finished. False where the machine
            itself is measured.

    Raises:
        SystemExit: a stored run has other settings; several jobs under ``torchrun``.
    """
    folder = args.work / name
    folder.mkdir(parents=True, exist_ok=True)
    device = _join(args)
    find = finder(name, args, from_results=from_results)
    todo = _agreed([run for run in runs if find(run) is None])
    with tqdm(
        total=sum(run.get("steps", 1) for run in todo),
        unit="step",
        smoothing=0.05,
        disable=int(os.environ.get("RANK", 0)) > 0,
    ) as bar:
        if args.jobs == 1:
            for run in todo:
                _do(run, work, Place(device, folder, bar.update))
        elif todo:
            _do_side_by_side(todo, work, device, folder, args.jobs, bar)
    if dist.is_initialized():
        dist.barrier()
    if write and int(os.environ.get("RANK", 0)) == 0:
        args.results.mkdir(parents=True, exist_ok=True)
        result = {"command": command(sys.argv), "runs": [find(run) for run in runs]}
        write_json(args.results / f"{name}.json", result)


def _agreed(todo: list[dict]) -> list[dict]:
    """What is left to do as the first process sees it: the others may have looked later."""
    if not dist.is_initialized():
        return todo
    shared = [todo]
    dist.broadcast_object_list(shared)
    return shared[0]


def _join(args: argparse.Namespace) -> torch.device:
    """The device of this process, after it has met the others if ``torchrun`` started several."""
    device = torch.device(args.device)
    if args.jobs > 1:
        torch.set_num_threads(1)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return device
    if args.jobs > 1:
        raise SystemExit("--jobs must be 1 under torchrun, where all processes share each run")
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def _do_side_by_side(
    todo: list[dict], work: Work, device: torch.device, folder: Path, jobs: int, bar: tqdm
) -> None:
    """The runs in processes of their own; the first error stops what has not begun."""
    context = multiprocessing.get_context("spawn")
    steps = context.Value("q", 0)
    with ProcessPoolExecutor(jobs, context, _begin, (steps,)) as pool:
        waiting = {pool.submit(_do_alone, run, work, device, folder) for run in todo}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                bar.update(steps.value - bar.n)
                for future in done:
                    future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(steps) -> None:
    """In a new process: one thread, and a counter that the others share."""
    global _steps
    _steps = steps
    torch.set_num_threads(1)


def _do_alone(run: dict, work: Work, device: torch.device, folder: Path) -> None:
    def tick(steps: int) -> None:
        with _steps.get_lock():
            _steps.value += steps

    _do(run, work, Place(device, folder, tick))


def _do(run: dict, work: Work, place: Place) -> None:
    """One run, stored as soon as it is finished."""
    start = time.perf_counter()
    result = work(run, place)
    if place.rank == 0:
        seconds = round(time.perf_counter() - start, 1)
        stored = {**run, **result, "seconds": seconds, "provenance": provenance(place.device)}
        write_json(place.folder / f"{run['name']}.json", stored)
    if dist.is_initialized():
        dist.barrier()


def finder(
    name: str, args: argparse.Namespace, *, from_results: bool = True
) -> Callable[[dict], dict | None]:
    """What looks up a run: the finished run from the work folder or else the result file, or None.

    The function that it returns raises ``SystemExit`` where the finished run has other settings.
    """
    folder, results = args.work / name, args.results / f"{name}.json"
    kept = _runs_by_name(results) if from_results and results.exists() else {}

    def find(run: dict) -> dict | None:
        path, stored = folder / f"{run['name']}.json", None
        if path.exists():
            stored = json.loads(path.read_text("utf-8"))
        elif run["name"] in kept:
            path, stored = results, kept[run["name"]]
        if stored is not None:
            refuse_others(path, {key: stored.get(key) for key in {*run, *OPTIONAL}}, run)
        return stored

    return find


def _runs_by_name(path: Path) -> dict[str, dict]:
    return {run["name"]: run for run in json.loads(path.read_text("utf-8"))["runs"]}


def refuse_others(path: Path, stored: dict, wanted: dict) -> None:
    """Stop where a file was made with settings that are not those of now."""
    other = {key: value for key, value in stored.items() if wanted.get(key) != value}
    if other:
        now = {key: wanted.get(key) for key in other}
        raise SystemExit(
            f"{path} was made with {other}, now {now} is asked for. "
            "Move it away, or give other folders as --work and --results."
        )


def provenance(device: torch.device) -> dict:
    """When and on what something was measured; nothing that names a person or a path."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "rope_lib": rope_lib.__version__,
        },
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        },
    }


def _processor() -> str:
    names = [line for line in _lines(CPU) if line.startswith("model name")]
    return names[0].split(":")[1].strip() if names else platform.processor()


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines() if path.exists() else []


def command(words: list[str]) -> str:
    """What was typed, without the folders of the machine it was typed on."""
    script, *options = words
    kept = []
    while options:
        word, *options = options
        if word in FOLDERS:
            options = options[1:]
        elif word.partition("=")[0] not in FOLDERS:
            kept.append(word)
    place = Path(script).resolve()
    return shlex.join(["python", f"{place.parent.name}/{place.name}", *kept])


def finite(x: float, digits: int = 5) -> float | None:
    """A number to store; JSON knows no NaN, so None stands for a training that diverged."""
    return round(x, digits) if math.isfinite(x) else None


def write_json(path: Path, value: dict) -> None:
    """Whole or not at all: an interruption leaves the old file. A list of numbers is one line."""
    text = json.dumps(value, indent=1, allow_nan=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s+", " ", found[0]), text)
    part = path.with_suffix(f".part{os.getpid()}")
    part.write_text(text.replace("[ ", "[").replace(" ]", "]") + "\n", "utf-8")
    os.replace(part, path)
