"""The scripts in experiments/: interrupted, split over processes, run again, and their results."""

import importlib
import json
import math
import os
import runpy
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from experiment_runs import results_only, stored
from rope_lib.course import results

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = ROOT / "experiments"
SCRIPTS = (
    "compare", "fair", "length", "length_controls", "linear", "linear_rates", "heads", "cost",
    "decay", "maps", "real_pairing", "real_length", "real_search", "real_whole", "real_heads",
    "real_pairs", "real_cache", "real_bits",
)  # fmt: skip
TINY = ["--steps", "6", "--width", "16", "--heads", "2", "--rates", "0.01", "--bytes-a-step", "64"]


pytestmark = pytest.mark.usefixtures("scripts")


def run(script, *options, launcher=(sys.executable,)):
    command = [*launcher, str(EXPERIMENTS / f"{script}.py"), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": loopback()}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    return done.returncode, done.stdout + done.stderr


def loopback():
    return "lo0" if sys.platform == "darwin" else "lo"


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
    for stop_at in (1, 5, 8, 9):  # the second call begins with a checkpoint of the first, or anew
        with pytest.raises(StopHereError):
            weights(tmp_path / f"cut{stop_at}", stop_at)
        curve, found = weights(tmp_path / f"cut{stop_at}")
        assert curve == expected_curve
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_interrupted_in_the_last_measurement_the_curve_is_whole(tmp_path, monkeypatch):
    """Nine steps, saved after each third: the ninth is saved with its measurement only."""
    import training
    from common import Place

    measured, validate = [], training.validate

    def stop_once(*args, **options):
        measured.append(1)
        if len(measured) == 4:  # before steps 0, 3 and 6, and at the end
            raise StopHereError
        return validate(*args, **options)

    monkeypatch.setattr(training, "validate", stop_once)

    def go():
        model = training.make_model(training.Model("none", width=16, heads=2), 16, seed=0)
        schedule = training.Schedule(length=16, batch=2, steps=9, learning_rate=0.01)
        place = Place(torch.device("cpu"), tmp_path)
        return training.train(model, schedule, 0, place, "a", curve_every=3, save_every=3)

    with pytest.raises(StopHereError):
        go()
    assert [step for step, _ in go()] == [0, 3, 6, 9]


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    from common import Place
    from training import Model, Schedule, make_model, train

    place = Place(torch.device("cpu"), tmp_path / "new")  # made where it is not there yet

    def go(seed=1, **other):
        schedule = Schedule(
            **{"length": 16, "batch": 2, "steps": 3, "learning_rate": 0.01, **other}
        )
        return train(
            make_model(Model("none", width=16, heads=2), 16, 0), schedule, seed, place, "a"
        )

    go()
    for other in ({"steps": 4}, {"learning_rate": 0.02}, {"seed": 2}):
        with pytest.raises(SystemExit, match="was made with"):
            go(**other)
    assert go()[-1][0] == 3


def test_sizes_that_train_nothing_are_refused(tuned, run_here):
    from training import Schedule

    with pytest.raises(ValueError, match="batch must"):
        Schedule(length=16, batch=0, steps=3, learning_rate=0.01)
    with pytest.raises(ValueError, match="batch must"):
        run_here("compare", *TINY, "--encodings", "none", "--lengths", "128", *tuned)


def test_a_stored_command_names_no_folder():
    from common import command

    words = [
        "/a/experiments/compare.py",
        "--work",
        "/x",
        "--results=/y",
        "--name",
        "two words",
        "--jobs",
        "2",
    ]
    assert command(words) == "python experiments/compare.py --name 'two words' --jobs 2"


def test_all_encodings_begin_alike():
    from training import ENCODINGS, Model, Schedule, _optimizer, make_model

    first = make_model(Model("none", width=16, heads=2), 16, seed=3)
    for name in ENCODINGS:
        other = dict(make_model(Model(name, width=16, heads=2), 16, seed=3).named_parameters())
        for key, value in first.named_parameters():
            assert torch.equal(value, other[key]), name
    optimizer = _optimizer(first, Schedule(16, 2, 3, 0.01, weight_decay=0.3))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3]


# What the scripts measure


class TwoBack(torch.nn.Module):
    """A bias so strong that every head looks two places back."""

    def forward(self, q, k, positions):
        return q, k

    def bias(self, positions_q, positions_k):
        return 50.0 * (positions_q[:, None] - positions_k == 2).float()


def test_heads_sees_how_far_back_a_head_looks():
    import heads

    from rope_lib.course.decoder import Decoder

    torch.manual_seed(0)
    model = Decoder(TwoBack(), width=16, layers=2, heads=2)
    found = heads.look(model, {"length": 32, "pieces": 2})
    assert len(heads.shown({"length": 32})) < len(heads.DISTANCES)  # up to 15
    for layer in (0, 1):
        for head in (0, 1):
            weights = dict(
                zip(heads.shown({"length": 32}), found["weight"][layer][head], strict=True)
            )
            assert weights[2] > 0.99 > 0.01 > weights[1]
            assert found["near_share"][layer][head] > 0.99


def test_length_scores_the_same_last_bytes():
    import length

    seen = []

    class Listener(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = torch.nn.Parameter(torch.zeros(1))

        def forward(self, tokens):
            seen.append(tokens)
            return torch.zeros(*tokens.shape, 256)

    losses = [length.score(Listener(), context, 3) for context in (256, 2048)]
    assert losses == [pytest.approx(math.log(256))] * 2
    short, long = (torch.cat([t for t in seen if t.shape[1] == n]) for n in (256, 2048))
    assert torch.equal(short, long[:, -256:])


def test_length_changes_what_it_says(monkeypatch, tmp_path):
    import length
    from common import Place
    from training import Model, make_model

    run = {"method": "window", "length": 32, "factor": 4, "width": 16, "heads": 2, "seed": 0,
           "learning_rate": 0.01, "tuned_length": 64, "tuned_steps": 5, "name": "x"}  # fmt: skip
    model = make_model(Model("rope", width=16, heads=2), 32, seed=0)
    length._change(model, run)
    assert [block.mixer.keywords for block in model.blocks] == [{"window": 32}] * 2
    asked = []
    monkeypatch.setattr(length, "train", lambda model, schedule, *rest: asked.append(schedule))
    length._tune(model, run, Place(torch.device("cpu"), tmp_path))
    assert (asked[0].learning_rate, asked[0].steps, asked[0].length) == (0.001, 5, 64)


def test_the_search_never_ends_worse_than_where_it_began():
    import length
    from training import Model, make_model

    from rope_lib import NTK, Linear, RotaryEmbedding, YaRN
    from rope_lib.course.decoder import next_token_loss
    from rope_lib.course.text import shakespeare, windows

    model = make_model(Model("rope", start=0.5, width=16, heads=2), 32, seed=0)
    for block in model.blocks:
        block.qkv.weight.data.mul_(40)  # so that frequencies matter
    pieces = windows(shakespeare("train"), 4 * 32, 8, seed=0)

    @torch.no_grad()
    def loss(scaling):
        model.encoding = RotaryEmbedding(8, pairing="half", scaling=scaling)
        return next_token_loss(model, pieces, length.SCORED).item()

    for rounds in range(3, 9):  # three rounds try YaRN, NTK and linear only
        found = length.search_factors(model, 8, 4, 32, seed=0, rounds=rounds)
        assert found.factors == tuple(sorted(found.factors))
        earlier = length.search_factors(model, 8, 4, 32, seed=0, rounds=rounds - 1)
        assert loss(found) <= loss(earlier) + 1e-6
    assert len({round(loss(scaling), 4) for scaling in (YaRN(4, 32), NTK(4), Linear(4))}) == 3


@pytest.mark.parametrize("place", [None, "numerator", "both"])
def test_linear_counts_negative_weights_and_sums_rows(place):
    import linear

    run = {"features": "elu", "place": place, "encoding": "rope" if place else "none", "seed": 0,
           "start": 0.02, "width": 16, "layers": 1, "heads": 2, "length": 64}  # fmt: skip
    seen = linear.weights_seen(linear.make(run), run)
    least, middle, most = seen["row_sum"]
    if place is None:
        assert seen["negative_share"] == 0
    else:
        # Features are nearly equal before training: a weight has the sign of a sum of cosines.
        assert 0.005 < seen["negative_share"] < 0.6
    if place == "numerator":
        assert least < middle < most < 1.01
        assert middle < 0.9
    else:
        assert least == pytest.approx(1, abs=1e-3)
        assert most == pytest.approx(1, abs=1e-3)


def test_ratios_of_costs_are_those_of_their_times():
    for run in results.load("cost")["runs"]:
        times = {name: middle for name, (_, middle, _) in run["milliseconds"].items()}
        for name, (low, middle, high) in run["ratios"].items():
            over, under = importlib.import_module("cost").RATIOS[name]
            assert low <= middle <= high
            assert middle == pytest.approx(times[over] / times[under], rel=0.2), name


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
def test_two_processes_lose_what_one_does(tuned, tmp_path, run_here):
    options = [*TINY, "--encodings", "t5", "--lengths", "16", "--seeds", "0", "--steps", "60"]
    port = str(29_500 + os.getpid() % 1000)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
                "--master-addr", "127.0.0.1", "--master-port", port)  # fmt: skip
    code, said = run("compare", *options, "--name", "two", *tuned, launcher=launcher)
    assert code == 0, said
    run_here("compare", *options, "--name", "one", *tuned)
    for one, two in zip(stored(tmp_path, "one"), stored(tmp_path, "two"), strict=True):
        assert one["name"] == two["name"]
        assert two["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert one["loss"] < one["curve"][0][1] - 0.5  # they did learn


def test_jobs_change_nothing_and_nothing_is_done_twice(tuned, tmp_path, run_here):
    options = [*TINY, "--encodings", "rope", "learned", "--lengths", "16", "--seeds", "0", "1"]
    run_here("compare", *options, "--name", "jobs1", *tuned)
    code, said = run("compare", *options, "--name", "jobs2", "--jobs", "2", *tuned)
    assert code == 0, said
    first = stored(tmp_path, "jobs1")
    assert results_only(first) == results_only(stored(tmp_path, "jobs2"))
    assert len({run["loss"] for run in first}) == len(first) == 4
    (tmp_path / "jobs1.json").unlink()
    run_here("compare", *options, "--name", "jobs1", *tuned)
    assert stored(tmp_path, "jobs1") == first  # with its dates: read, not done again


def test_runs_of_the_result_file_are_not_done_again(tuned, tmp_path, run_here):
    """On a fresh machine the work folder is empty; the result file is committed."""
    options = [*TINY, "--encodings", "none", "--lengths", "16", *tuned]
    run_here("compare", *options, "--seeds", "0")
    (first,) = stored(tmp_path, "compare")
    (tmp_path / "work").rename(tmp_path / "gone")
    with pytest.raises(SystemExit, match=r"(?s)compare\.json was made.*'steps': 6.*'steps': 7"):
        run_here("compare", *options, "--seeds", "0", "--steps", "7")
    run_here("compare", *options, "--seeds", "0", "1")
    again, second = stored(tmp_path, "compare")
    assert again == first  # with its date
    assert second["seed"] == 1
    assert [path.name for path in (tmp_path / "work").rglob("*.json")] == [second["name"] + ".json"]


def test_times_are_measured_again(tmp_path):
    """A result file of another machine says nothing about the speed of this one."""
    from argparse import Namespace

    from common import run_all

    args = Namespace(work=tmp_path / "work", results=tmp_path, device="cpu", jobs=1)
    counted = []
    for from_results in (True, True, False):
        run_all("a", args, [{"name": "x"}], lambda run, place: {"count": counted.append(run)},
                from_results=from_results)  # fmt: skip
        (tmp_path / "work" / "a" / "x.json").unlink(missing_ok=True)
    assert len(counted) == 2


def test_another_text_can_be_brought(tuned, tmp_path, run_here):
    """The last tenth is held out: here it is other letters, so that it stays a surprise."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "some.txt").write_bytes(b"ab" * 900 + b"xy" * 100)
    options = ["--encodings", "rope", "--lengths", "16", "--seeds", "0", "--steps", "100"]
    for text in (["--text", "some.txt"], []):
        run_here("compare", *TINY, *options, *text, "--name", f"text{len(text)}", *tuned)
    with pytest.raises(SystemExit, match=r"'text': 'some\.txt'"):
        run_here("compare", *TINY, *options, "--name", "text2", *tuned)
    with pytest.raises(SystemExit, match="there is no such file"):
        run_here("compare", *TINY, *options, "--text", "gone.txt", *tuned)
    (own,), (plays,) = stored(tmp_path, "text2"), stored(tmp_path, "text0")
    assert own["text"] == "some.txt"
    assert "text" not in plays
    assert own["loss"] > 5.5 > plays["loss"]


def test_other_settings_under_an_old_name_are_refused(tuned, tmp_path, run_here):
    options = ["--encodings", "none", "--lengths", "16", "--seeds", "0", *tuned]
    run_here("compare", *TINY, *options)
    before = (tmp_path / "compare.json").read_text()
    with pytest.raises(SystemExit, match=r"(?s)'steps': 6.*'steps': 7"):
        run_here("compare", *TINY, *options, "--steps", "7")
    assert (tmp_path / "compare.json").read_text() == before


@pytest.fixture
def few(monkeypatch):
    """Losses over fewer pieces, and a shorter search, than a result that is kept."""
    from training import validate

    def validate_few(model, length, pieces, **more):
        return validate(model, length, min(pieces, 4), **more)

    for script in ("training", "compare", "linear"):
        monkeypatch.setattr(importlib.import_module(script), "validate", validate_few)
    import length

    monkeypatch.setattr(length, "search_factors", partial(length.search_factors, rounds=4))


def test_the_other_scripts_run_at_a_reduced_size(tuned, tmp_path, run_here, few, capsys):
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
        run_here(script, *seeds, *options, *tuned)
        runs = stored(tmp_path, script)
        assert "100%" in capsys.readouterr().err  # the progress bar
        assert all(run["provenance"]["versions"]["torch"] == torch.__version__ for run in runs)
        assert runs
        if script in ("compare", "length", "linear"):
            losses = [x for run in runs for x in run.get("losses", {"": run.get("loss")}).values()]
            assert all(0 < loss < 7 for loss in losses)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_is_a_command(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXPERIMENTS / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "--seeds" in capsys.readouterr().out


# What is stored in the repository


@pytest.fixture
def planned(monkeypatch):
    """The runs that a stored command asks for, without doing them."""

    def plan(name):
        command = shlex.split(results.load(name)["command"])
        assert command[0] == "python"
        script = importlib.import_module(Path(command[1]).stem)
        asked = {}

        def remember(name, args, runs, work, **options):
            asked.update(name=name, runs=runs)

        monkeypatch.setattr(script, "run_all", remember)
        monkeypatch.setattr(sys, "argv", command[1:])
        script.main()
        assert asked["name"] == name
        return asked["runs"]

    return plan


# What benchmarks have stored is looked at in test_benchmarks.py.
OWN = sorted(path.stem for path in (ROOT / "experiments" / "results").glob("*.json"))


@pytest.mark.parametrize("name", OWN)
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


@pytest.mark.parametrize("name", ["tune", "compare", "compare_long", "length", "linear"])
def test_stored_runs_begin_where_the_scripts_begin(name):
    """Before the first step: the same weights, encoding, attention and held-out text as then."""
    import compare
    import linear
    from training import validate

    build = linear.make if name == "linear" else compare.build
    begun = [run for run in results.load(name)["runs"] if run.get("curve")]
    seed = min(run["seed"] for run in begun)
    kinds = {(run["encoding"], run.get("features"), run.get("place"), run["length"]): run
             for run in begun if run["seed"] == seed}  # fmt: skip
    for kind, run in kinds.items():
        loss = validate(build(run), run["length"], 8192 // run["length"])
        assert loss == pytest.approx(run["curve"][0][1], abs=2e-3), kind


def test_a_stored_curve_can_be_run_again(tmp_path, monkeypatch):
    """The first 100 steps of one run of the comparison: other processors may differ a little."""
    import training
    from common import Place
    from compare import build, fit

    wanted = {"encoding": "rope", "length": 64, "seed": 0, "learning_rate": 0.003}
    (run,) = results.select(results.load("compare")["runs"], **wanted)
    validate, losses, taken = training.validate, [], 0

    def remember(*args, **options):
        losses.append(validate(*args, **options))
        return losses[-1]

    def stop_after_100(steps):
        nonlocal taken
        taken += steps
        if taken == 101:  # the loss after 100 steps is measured before the next one
            raise StopHereError

    monkeypatch.setattr(training, "validate", remember)
    with pytest.raises(StopHereError):
        fit(build(run), run, Place(torch.device("cpu"), tmp_path, stop_after_100), "again")
    (first, begun), (second, reached) = run["curve"][:2]
    assert (first, second) == (0, 100)
    assert losses == pytest.approx([begun, reached], abs=0.03)
