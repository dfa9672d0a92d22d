"""The scripts in experiments/: interrupted, split over processes, run again, and their results."""

import importlib
import json
import math
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rope_lib import results

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENTS = ROOT / "experiments"
SCRIPTS = ("compare", "length", "linear", "heads", "cost")
TINY = ["--steps", "6", "--width", "16", "--heads", "2", "--rates", "0.01", "--bytes-a-step", "64"]


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """The scripts import each other as they do when one of them is run."""
    monkeypatch.syspath_prepend(EXPERIMENTS)
    torch.set_num_threads(1)


@pytest.fixture
def tuned(tmp_path):
    """Folders for results and work, with the stored tuning that comparisons begin with."""
    (tmp_path / "tune.json").write_text((EXPERIMENTS / "results" / "tune.json").read_text())
    return ["--results", str(tmp_path), "--work", str(tmp_path / "work"), "--device", "cpu"]


def run(script, *options, launcher=(sys.executable,)):
    command = [*launcher, str(EXPERIMENTS / f"{script}.py"), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": loopback()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    return done.returncode, done.stdout + done.stderr


def loopback():
    return "lo0" if sys.platform == "darwin" else "lo"


def stored(folder, name):
    return json.loads((Path(folder) / f"{name}.json").read_text())["runs"]


def results_only(runs):
    """Without what differs from call to call."""
    return [{k: v for k, v in run.items() if k not in ("seconds", "provenance")} for run in runs]


class StopHereError(Exception):
    pass


def test_an_interrupted_training_ends_with_the_same_weights(tmp_path):
    from common import Place
    from training import Model, Schedule, make_model, train

    schedule = Schedule(length=16, batch=2, steps=9, learning_rate=0.01)

    def weights(folder, stop_at=None):
        folder.mkdir(exist_ok=True)
        done = 0

        def tick(steps):
            nonlocal done
            done += steps
            if done == stop_at:
                raise StopHereError

        model = make_model(Model("rope", width=16, heads=2), 16, seed=1)
        place = Place(torch.device("cpu"), folder, tick)
        curve = train(model, schedule, 1, place, "one", curve_every=3, save_every=2)
        return curve, list(model.parameters())

    expected_curve, expected = weights(tmp_path / "whole")
    for stop_at in (1, 5, 8):  # the second call begins with a checkpoint of the first, or anew
        with pytest.raises(StopHereError):
            weights(tmp_path / f"cut{stop_at}", stop_at)
        curve, found = weights(tmp_path / f"cut{stop_at}")
        assert curve == expected_curve
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_every_seed_reads_other_pieces(tmp_path):
    from common import Place
    from training import Model, Schedule, make_model, train

    ends = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        model = make_model(Model("none", width=16, heads=2), 16, seed=0)  # all begin alike
        train(model, Schedule(16, 2, 3, 0.01), seed, Place(torch.device("cpu"), tmp_path), name)
        ends.append(model.unembedding.weight)
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_the_learning_rate_rises_then_falls_to_a_tenth():
    from training import Schedule

    rates = [Schedule(16, 2, 1000, 0.5, warmup=50).rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.5 / 50, rel=1e-3)
    assert max(rates) == pytest.approx(0.5, rel=0.01)
    assert 45 <= rates.index(max(rates)) <= 50
    assert rates[524] == pytest.approx(0.5 * 0.55, rel=0.1)
    assert rates[-1] == pytest.approx(0.05, rel=0.01)


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="this torch has no gloo")
def test_two_processes_lose_what_one_does(tuned, tmp_path):
    options = [*TINY, "--encodings", "rope", "t5", "--lengths", "16", "--seeds", "0"]
    options += ["--steps", "60"]
    port = str(29_500 + os.getpid() % 1000)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
                "--master-addr", "127.0.0.1", "--master-port", port)  # fmt: skip
    code, said = run("compare", *options, "--name", "two", *tuned, launcher=launcher)
    assert code == 0, said
    code, said = run("compare", *options, "--name", "one", *tuned)
    assert code == 0, said
    for one, two in zip(stored(tmp_path, "one"), stored(tmp_path, "two"), strict=True):
        assert one["name"] == two["name"]
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert one["loss"] < one["curve"][0][1] - 0.5  # they did learn


def test_jobs_change_nothing_and_nothing_is_done_twice(tuned, tmp_path):
    options = [*TINY, "--encodings", "rope", "learned", "--lengths", "16", "--seeds", "0", "1"]
    for jobs in ("1", "2"):
        code, said = run("compare", *options, "--name", f"jobs{jobs}", "--jobs", jobs, *tuned)
        assert code == 0, said
    first = stored(tmp_path, "jobs1")
    assert results_only(first) == results_only(stored(tmp_path, "jobs2"))
    assert len({run["loss"] for run in first}) == len(first) == 4
    (tmp_path / "jobs1.json").unlink()
    run("compare", *options, "--name", "jobs1", *tuned)
    assert stored(tmp_path, "jobs1") == first  # with its dates: read, not done again


def test_another_text_can_be_brought(tuned, tmp_path):
    """The last tenth is held out: here it is other letters, so that it stays a surprise."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "some.txt").write_bytes(b"ab" * 900 + b"xy" * 100)
    options = ["--encodings", "rope", "--lengths", "16", "--seeds", "0", "--steps", "100"]
    for text in (["--text", "some.txt"], []):
        assert run("compare", *TINY, *options, *text, "--name", f"text{len(text)}", *tuned)[0] == 0
    (own,), (plays,) = stored(tmp_path, "text2"), stored(tmp_path, "text0")
    assert own["text"] == "some.txt"
    assert "text" not in plays
    assert own["loss"] > 5.5 > plays["loss"]


def test_other_settings_under_an_old_name_are_refused(tuned, tmp_path):
    options = ["--encodings", "none", "--lengths", "16", "--seeds", "0", *tuned]
    assert run("compare", *TINY, *options)[0] == 0
    before = (tmp_path / "compare.json").read_text()
    code, said = run("compare", *TINY, *options, "--steps", "7")
    assert code != 0
    assert "'steps': 6" in said
    assert "'steps': 7" in said
    assert (tmp_path / "compare.json").read_text() == before


def test_the_other_scripts_run_at_a_reduced_size(tuned, tmp_path):
    """``length`` and ``heads`` begin with what ``compare`` found, as they do in full."""
    small = ["--lengths", "256", "--rates", "0.01", "--steps", "3", "--bytes-a-step", "256"]
    for script, options in {
        "compare": small,
        "heads": ["--pieces", "1"],
        "length": ["--steps", "2", "--tuned-steps", "1", "--pieces", "1", "--width", "32",
                   "--layers", "1"],
        "linear": ["--rates", "0.003", "--steps", "2"],
        "cost": ["--widths", "64", "--lengths", "32", "--tokens", "64", "--rounds", "2"],
    }.items():  # fmt: skip
        seeds = [] if script == "cost" else ["--seeds", "5"]
        code, said = run(script, *seeds, *options, *tuned)
        assert code == 0, said
        runs = stored(tmp_path, script)
        assert all(run["provenance"]["versions"]["torch"] == torch.__version__ for run in runs)
        numbers = [run["loss"] for run in runs if run.get("loss") is not None]
        numbers += [loss for run in runs for loss in run.get("losses", {}).values()]
        assert all(0 < number < 7 for number in numbers)


# What is stored in the repository


@pytest.fixture
def planned(monkeypatch):
    """The runs that a stored command asks for, without doing them."""

    def plan(name):
        command = shlex.split(results.load(name)["command"])
        assert command[0] == "python"
        script = importlib.import_module(Path(command[1]).stem)
        asked = {}

        def remember(name, args, runs, work):
            asked.update(name=name, runs=runs)

        monkeypatch.setattr(script, "run_all", remember)
        monkeypatch.setattr(sys, "argv", command[1:])
        script.main()
        assert asked["name"] == name
        return asked["runs"]

    return plan


@pytest.mark.parametrize("name", results.stored())
def test_a_stored_command_asks_for_the_stored_runs(name, planned):
    runs = results.load(name)["runs"]
    asked = planned(name)
    asked = json.loads(json.dumps(asked))  # JSON has lists where Python has tuples
    for run, settings in zip(runs, asked, strict=True):
        assert {key: run[key] for key in settings} == settings


@pytest.mark.parametrize("name", results.stored())
def test_stored_runs_say_where_they_come_from(name):
    for run in results.load(name)["runs"]:
        assert run["provenance"].keys() == {"date", "versions", "machine"}
        assert run["provenance"]["versions"].keys() >= {"python", "torch", "numpy", "rope_lib"}
        assert run["provenance"]["machine"]["device"]
        for step, loss in run.get("curve", []):
            assert loss is None or (0 <= step <= run["steps"] and 0 < loss < 7)


def test_a_stored_curve_can_be_run_again(tmp_path):
    """The first 100 steps of one run of the comparison: other processors may differ a little."""
    from common import Place
    from compare import trained

    wanted = {"encoding": "rope", "length": 64, "seed": 0, "learning_rate": 0.003}
    (run,) = results.select(results.load("compare")["runs"], **wanted)
    taken = 0

    def stop_after_200(steps):
        nonlocal taken
        taken += steps
        if taken == 201:  # a checkpoint was written at 200
            raise StopHereError

    with pytest.raises(StopHereError):
        trained(run, Place(torch.device("cpu"), tmp_path, stop_after_200), "again")
    curve = torch.load(tmp_path / "again.pt", weights_only=True)["curve"]
    for (step, loss), (stored_step, stored_loss) in zip(curve, run["curve"], strict=False):
        assert step == stored_step
        assert math.isclose(loss, stored_loss, abs_tol=0.03), step
    assert len(curve) == 2
