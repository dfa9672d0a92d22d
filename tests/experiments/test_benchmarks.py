"""The benchmarks' own arithmetic: who is compared, what is refused, what is written down.

Nothing here looks at how long anything took.
"""

import argparse
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from rope_lib.course import results

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    for folder in ("experiments", "benchmarks"):
        monkeypatch.syspath_prepend(str(ROOT / folder))


def load(name):
    return importlib.import_module(name)


def small(mode="prefill", dtype="float32", **changed):
    sizes = dict(batch=2, heads=4, kv_heads=2, tokens=6, head_dim=8, first=3) | changed
    return load("contenders").Case(mode, dtype=dtype, **sizes)


def test_a_race_takes_turns_and_moves_its_order_on(monkeypatch):
    timing, order = load("timing"), []
    monkeypatch.setattr(timing, "seconds", lambda job, device, settle: job() or 1.0)
    jobs = {name: lambda name=name: order.append(name) for name in "abc"}
    times = timing.race(jobs, 2, CPU)
    assert order == [*"abc", *"abc", *"bca"]  # a call to warm up, then rounds
    assert {name: len(each) for name, each in times.items()} == {"a": 2, "b": 2, "c": 2}


def test_ratios_are_formed_within_a_round():
    timing = load("timing")
    assert timing.ratios([2.0, 40.0, 6.0], [1.0, 10.0, 2.0]) == [2.0, 3.0, 4.0]
    assert timing.quartiles([1, 2, 3]) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["prefill", "training", "decode"])
def test_those_that_need_nothing_else_compute_a_rotation(mode, dtype):
    """Ours, the plain complex product, transformers; compiled forms compile in the bench itself."""
    contenders, checking = load("contenders"), load("checking")
    needed = (None, "transformers")
    known = {
        name: contender
        for name, contender in contenders.CONTENDERS.items()
        if contender.package in needed and "compiled" not in name
    }
    turns, errors, left_out = checking.admitted(known, small(mode, dtype), CPU)
    assert not left_out
    assert set(turns) == {name for name in known if mode in known[name].modes}
    for name, error in errors.items():
        assert (error is None) == (known[name].pairing is None), name


@pytest.mark.parametrize("name", ["rotary-embedding-torch", "x-transformers", "torchtune"])
def test_a_compared_library_computes_a_rotation_where_it_is_installed(name):
    contenders, checking = load("contenders"), load("checking")
    known = {name: contenders.CONTENDERS[name]}
    turns, _, left_out = checking.admitted(known, small("training"), CPU)
    if not turns:
        pytest.skip(f"make bench installs it: {left_out[name]}")


@pytest.mark.parametrize("mode", ["prefill", "training"])
def test_a_contender_that_does_not_rotate_is_found_out(mode):
    contenders, checking = load("contenders"), load("checking")
    case = small(mode)
    for pairing, make in (
        ("half", contenders.clone),
        ("half", contenders.ours("interleaved")),
        ("half", lambda case, device: lambda q, k: (q.bfloat16(), k)),
    ):
        contender = contenders.Contender(make, pairing)
        with pytest.raises(checking.WrongError):
            checking.error_of(contender, make(case, CPU), case, CPU)


def test_our_own_mistake_stops_the_bench_and_another_is_left_out(monkeypatch):
    bench, contenders, checking = load("bench"), load("contenders"), load("checking")
    wrong = contenders.Contender(contenders.clone, "half")
    theirs = contenders.Contender(contenders.clone, "half", package="some-package")

    def absent(case, device):
        raise ImportError("some-package is not installed")

    floors = {n: contenders.CONTENDERS[n] for n in (bench.NEW, bench.IN_PLACE, bench.ADD)}
    missing = contenders.Contender(absent, "half", package="some-package")
    known = {**floors, "theirs": theirs, "missing": missing}
    monkeypatch.setattr(bench, "CONTENDERS", known)
    measured = bench.measure(small(), "", 2, CPU)
    assert set(measured["contenders"]) == set(floors)
    assert "roundings" in measured["left_out"]["theirs"]
    assert measured["left_out"]["missing"] == "some-package is not installed"
    monkeypatch.setattr(bench, "CONTENDERS", {**floors, "rope_lib, wrong": wrong})
    with pytest.raises(checking.WrongError, match="rope_lib, wrong"):
        bench.measure(small(), "", 2, CPU)


def test_memory_is_counted_right_where_it_is_known():
    contenders, checking = load("contenders"), load("checking")
    case = small(batch=4, heads=32, kv_heads=32, tokens=256, head_dim=64)

    def memory(make, **how):
        contender = contenders.Contender(make, "half", **how)
        return checking.memory_of(make(case, CPU), case, contender, CPU)

    assert memory(contenders.clone) == {"new": 1.0, "kept": 0.0}
    square = memory(lambda case, device: lambda q, k: (q**2, k**2))
    assert square == {"new": 1.0, "kept": 1.0}
    twice = memory(lambda case, device: lambda q, k: (q.clone(), (k.clone(), q.clone())[0]))
    assert twice["new"] == 1.5
    assert memory(contenders.ours("half", in_place=True), in_place=True)["new"] < 0.2
    assert memory(contenders.ours("interleaved"))["new"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "text", ["prefill", "prefill:1,2,3:float32", "walk:1,2,3,4:float32", "prefill:1,2,3,5:float32",
             "prefill:1,2,0,4:float32", "decode:1,2,1,4:int64", "decode:1,2/,1,4:float33"],
)  # fmt: skip
def test_a_bad_case_is_named(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not mode:batch,heads"):
        load("bench").parse_case(text)


def test_a_case_is_read():
    case = load("bench").parse_case("decode:8,32/4,1,64:bfloat16")
    assert (case.batch, case.heads, case.kv_heads, case.tokens, case.head_dim) == (8, 32, 4, 1, 64)
    assert case.name == "decode (8,32:4,1,64) bfloat16"
    assert case.first > 0  # at position 0 nothing turns, and nobody could be wrong


def test_the_command_writes_what_the_book_reads(tmp_path, monkeypatch, capsys):
    bench = load("bench")
    words = ["bench.py", "--results", str(tmp_path), "--rounds", "2", "--only", "half",
             "--cases", "prefill:1,2,8,8:float32", "training:1,2/1,8,8:bfloat16"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    threads = torch.get_num_threads()
    bench.main()
    torch.set_num_threads(threads)
    stored = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert str(tmp_path) not in json.dumps(stored)
    assert [run["mode"] for run in stored["runs"]] == ["prefill", "training"]
    for run in stored["runs"]:
        assert run["provenance"]["versions"]["torch"] == torch.__version__
        assert "rope_lib, half, compiled" in run["contenders"]
        for found in run["contenders"].values():
            assert {"milliseconds", "copies", "additions", "error", "memory"} <= set(found)
    assert "<svg" in (tmp_path / "bench.svg").read_text("utf-8")
    assert "rope_lib, half" in capsys.readouterr().out


def test_the_stored_results_are_whole():
    """Everyone in every case, or a reason."""
    bench = load("bench")
    stored = results.load("bench")
    cases = [bench.parse_case(text) for text in bench.CASES]
    assert [run["name"] for run in stored["runs"]] == [case.name for case in cases]
    for run, case in zip(stored["runs"], cases, strict=True):
        wanted = {n for n, each in bench.CONTENDERS.items() if case.mode in each.modes}
        assert set(run["contenders"]) | set(run["left_out"]) == wanted
        for name, found in run["contenders"].items():
            low, middle, high = found["copies"]
            assert 0 < low <= middle <= high, name
        floor = bench.NEW if case.mode == "training" else bench.IN_PLACE
        assert run["contenders"][floor]["copies"] == [1.0, 1.0, 1.0]


def test_the_stored_results_of_a_gpu_are_whole():
    bench, stored = load("bench_gpu"), results.load("bench_gpu")
    cases = [bench.parse_case(text) for text in bench.CASES]
    assert [run["name"] for run in stored["runs"]] == [case.name for case in cases]
    for run, case in zip(stored["runs"], cases, strict=True):
        known = bench.contenders(None)
        wanted = {name for name, each in known.items() if case.mode in each.modes}
        assert set(run["contenders"]) == wanted
        assert not run["left_out"]
        assert run["provenance"]["machine"]["device"] != "cpu"
        kinds = {"forward", "backward"} if case.mode == "training" else {"forward", "graph"}
        for name, found in run["contenders"].items():
            assert (found["error"] is None) == (known[name].pairing is None)
            assert kinds <= set(found) or name in (bench.ADD, bench.ADD_COMPILED)
            for kind in kinds & set(found):
                low, middle, high = found[kind]["copies"]
                assert 0 < low <= middle <= high, name


def test_the_gpu_bench_needs_a_gpu(monkeypatch):
    bench = load("bench_gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py"])
    with pytest.raises(SystemExit, match="needs a GPU"):
        bench.main()


@pytest.mark.parametrize("mode", ["training", "decode"])
def test_the_gpu_bench_goes_its_way_on_a_cpu(monkeypatch, mode):
    """The same checks, buffers, graphs and ratios, with the host's clock."""
    bench = load("bench_gpu")
    monkeypatch.setattr(bench, "POOL", 2**12)
    known = {n: c for n, c in bench.contenders(None).items() if "compiled" not in n}
    case = small(mode, "bfloat16", tokens=1 if mode == "decode" else 6)
    measured = bench.measure(case, CPU, 2, known)
    assert "flash-attention" in measured["left_out"]
    for name in ("rope_lib, half", "transformers"):
        found = measured["contenders"][name]
        kinds = ("forward", "backward") if mode == "training" else ("forward", "graph")
        for kind in kinds:
            assert found[kind]["gigabytes_per_second"] > 0
        assert min(found["host_microseconds"]) > 0
    assert measured["contenders"][bench.IN_PLACE]["forward"]["copies"] == [1.0, 1.0, 1.0]


def test_buffers_rotate():
    bench, seen = load("bench_gpu"), []
    turn = bench._rotating(["a", "b", "c"], seen.append)
    for _ in range(4):
        turn()
    assert seen == ["b", "c", "a", "b"]
