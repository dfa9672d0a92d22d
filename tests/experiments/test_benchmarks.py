"""The benchmarks' own arithmetic: who is compared, what is refused, what is written down.

Nothing here looks at how long anything took.
"""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

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


class Operators(TorchDispatchMode):
    """The names of all operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operator, types, given=(), named=None):
        self.names.append(operator.overloadpacket.__name__)
        return operator(*given, **(named or {}))


class Overwriting(torch.autograd.Function):
    """As Liger does: turns what it is given where it stands, and gradients, too (here by half)."""

    @staticmethod
    def forward(ctx, q, k):
        return tuple(x.detach().neg_().view_as(x) for x in (q, k))

    @staticmethod
    def backward(ctx, for_q, for_k):
        return for_q.detach().neg_(), for_k.detach().neg_()


def test_a_race_draws_its_orders_and_draws_them_again(monkeypatch):
    timing, order = load("timing"), []
    monkeypatch.setattr(timing, "seconds", lambda job, device, settle: job() or 1.0)
    jobs = {name: lambda name=name: order.append(name) for name in "abcdef"}
    times = timing.race(jobs, 5, CPU)
    assert {name: len(each) for name, each in times.items()} == dict.fromkeys("abcdef", 5)
    warm, *rounds = ["".join(order[i : i + 6]) for i in range(0, 36, 6)]
    assert warm == "abcdef"
    assert all(sorted(each) == list("abcdef") for each in rounds)
    assert len({each[each.index("b") - 1] for each in rounds if each[0] != "b"}) > 1
    assert rounds == ["".join(each) for each in timing.orders(list("abcdef"), 5, 0)]
    assert rounds != ["".join(each) for each in timing.orders(list("abcdef"), 5, 1)]


def test_the_race_of_a_gpu_draws_its_orders_too():
    bench, order = load("bench_gpu"), []
    jobs = {name: lambda name=name: order.append(name) for name in "abc"}
    clock = bench.Clock(CPU)
    clock.host = lambda job, calls: job() or 1.0
    times = bench._race(jobs, 8, clock)
    rounds = ["".join(order[i : i + 3]) for i in range(6, 30, 3)]  # after two calls to warm up
    assert rounds == ["".join(each) for each in bench.orders(list("abc"), 8, 0)]
    assert len(set(rounds)) > 1
    assert {len(each) for each in times.values()} == {8}


def test_ratios_are_formed_within_a_round():
    timing = load("timing")
    assert timing.ratios([2.0, 40.0, 6.0], [1.0, 10.0, 2.0]) == [2.0, 3.0, 4.0]
    assert timing.quartiles([1, 2, 3]) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("mode", ["prefill", "training", "decode", "step"])
def test_those_that_need_nothing_else_compute_a_rotation(mode, dtype):
    """Ours, the complex product, transformers, PyTorch; what is compiled is left to the bench."""
    contenders, checking = load("contenders"), load("checking")
    needed = (None, "transformers", "torch")
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

    names = (bench.NEW, bench.IN_PLACE, bench.MULTIPLY, bench.ADD)
    floors = {name: contenders.CONTENDERS[name] for name in names}
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


def test_another_library_may_stop_as_it_likes_and_paths_are_not_told():
    contenders, checking = load("contenders"), load("checking")

    def failing(case, device):
        raise RuntimeError("no build in /home/someone/.cache for this\nand more")

    known = {"theirs": contenders.Contender(failing, "half", package="some-package")}
    turns, errors, left_out = checking.admitted(known, small(), CPU)
    assert not turns
    assert not errors
    assert left_out == {"theirs": "stopped with RuntimeError: no build in … for this"}
    ours = {"rope_lib": contenders.Contender(failing, "half")}
    with pytest.raises(RuntimeError):
        checking.admitted(ours, small(), CPU)


def test_work_in_place_is_divided_by_a_multiplication_too(monkeypatch):
    bench = load("bench")
    case = small("decode", tokens=1)
    monkeypatch.setattr(bench, "CONTENDERS", uncompiled(bench.CONTENDERS))
    found = bench.measure(case, "half", 2, CPU)["contenders"]
    with_floor = {name for name in found if "multiplications" in found[name]}
    assert with_floor == {bench.IN_PLACE, bench.MULTIPLY, "rope_lib, half, in place"}
    assert found[bench.MULTIPLY]["multiplications"] == [1.0, 1.0, 1.0]
    q, k = case.heads_of(seed=1, heads_last=False)
    same = load("contenders").multiply(case, CPU)(q, k)
    assert same[0] is q
    assert same[1] is k
    assert torch.equal(q, case.heads_of(seed=1, heads_last=False)[0])


def test_a_step_is_divided_by_that_of_transformers():
    bench = load("bench")
    measured = bench.measure(small("step", tokens=1), "half", 2, CPU)
    found = measured["contenders"]
    assert set(found) == {
        bench.THEIR_STEP, "rope_lib, half, a step", "rope_lib, half, module in each layer",
    }  # fmt: skip
    assert found[bench.THEIR_STEP]["transformers"] == [1.0, 1.0, 1.0]
    assert all("copies" not in each for each in found.values())


def uncompiled(known):
    return {name: each for name, each in known.items() if "compiled" not in name}


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
    assert memory(contenders.ours("half", in_place=True), in_place=True)["new"] < 0.3
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
             "--cases", "prefill:1,2,8,8:float32", "training:1,2/1,8,8:bfloat16",
             "step:1,2/1,1,8:float32"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", words)
    as_it_is = lambda turn=None, **how: turn or (lambda turn: turn)  # noqa: E731
    monkeypatch.setattr(torch, "compile", as_it_is)  # the bench itself compiles
    monkeypatch.setattr(load("pool"), "last_cache", lambda: 2**11)
    monkeypatch.setattr(bench, "keep_freed_memory", lambda: True)  # for the rest of the process
    threads = torch.get_num_threads()
    bench.main()
    torch.set_num_threads(threads)
    stored = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert str(tmp_path) not in json.dumps(stored)
    assert [run["mode"] for run in stored["runs"]] == ["prefill", "training", "step"]
    assert stored["last_cache_bytes"] > 0
    for run in stored["runs"]:
        assert run["provenance"]["versions"]["torch"] == torch.__version__
        step = run["mode"] == "step"
        assert ("rope_lib, half, a step" if step else "rope_lib, half, compiled") in run[
            "contenders"
        ]
        wanted = {"transformers"} if step else {"copies", "additions", "memory"}
        for found in run["contenders"].values():
            assert {"milliseconds", "error", *wanted} <= set(found)
            assert len(found["milliseconds"]) == 3
    assert [run["rounds"] for run in stored["runs"]] == [2, 2, 2 * bench.SHORT]
    assert [run["sets"] for run in stored["runs"]][2] == 1
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
            for unit, yardstick in bench.yardsticks(bench.CONTENDERS[name], case).items():
                low, middle, high = found[unit]
                assert 0 < low <= middle <= high, name
                assert name != yardstick or middle == 1


def test_the_stored_results_of_a_gpu_are_whole():
    """As far as they go: a card is not always at hand when a contender is added."""
    bench, stored = load("bench_gpu"), results.load("bench_gpu")
    known = bench.contenders(None)
    assert {run["name"] for run in stored["runs"]} <= {bench.gpu_case(c).name for c in bench.CASES}
    for run in stored["runs"]:
        wanted = {name for name, each in known.items() if run["mode"] in each.modes}
        assert set(run["contenders"]) <= wanted
        if "not_reached" in stored:  # made since contenders may be left out
            assert set(run["contenders"]) | set(run["left_out"]) == wanted
        assert run["provenance"]["machine"]["device"] != "cpu"
        for name, found in run["contenders"].items():
            assert (found["error"] is None) == (known[name].pairing is None)
            for kind in {*bench.KINDS[run["mode"]]} & set(found):
                low, middle, high = found[kind]["copies"]
                assert 0 < low <= middle <= high, name


def test_the_gpu_bench_needs_a_gpu(monkeypatch):
    bench = load("bench_gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py"])
    with pytest.raises(SystemExit, match="needs a GPU"):
        bench.main()


@pytest.mark.parametrize("mode", ["training", "prefill", "decode", "layer"])
def test_the_gpu_bench_goes_its_way_on_a_cpu(monkeypatch, capsys, mode):
    """The same checks, buffers, graphs and ratios, with the host's clock."""
    bench = load("bench_gpu")
    monkeypatch.setattr(load("pool"), "MOST", 2**12)
    known = uncompiled(bench.contenders(None))
    case = small(mode, "bfloat16", tokens=6 if mode in ("training", "prefill") else 1)
    measured = bench.measure(case, CPU, 2, known)
    found, kinds = measured["contenders"], bench.KINDS[mode]
    own = bench.SEPARATE if mode == "layer" else "rope_lib, half"
    assert set(found) >= {own, *(["transformers"] if mode != "layer" else [])}
    for kind in kinds:
        # What is left when one time is taken from another may be nothing on a busy machine.
        speeds = found[own][kind]["gigabytes_per_second"]  # a median between its quartiles
        assert np.isfinite(speeds).all()
        assert speeds == sorted(speeds)
        assert found[bench.IN_PLACE][kind]["copies"] == [1.0, 1.0, 1.0]
    assert min(found[own]["host_microseconds"]) > 0
    unit, floor = ("separate", own) if mode == "layer" else ("multiplications", bench.MULTIPLY)
    if mode != "training":
        assert found[floor][kinds[-1]][unit] == [1.0, 1.0, 1.0]
    bench.show({"name": case.name, "mode": mode, **measured})
    assert own in capsys.readouterr().out


@pytest.mark.parametrize("script", ["bench_gpu", "sweep_gpu"])
def test_what_a_gpu_has_no_time_for_is_named(monkeypatch, tmp_path, capsys, script):
    module, pool = load(script), load("pool")
    monkeypatch.setattr(module, "quiet_gpu", lambda script: CPU)
    monkeypatch.setattr(module, "version", lambda package: "0")
    monkeypatch.setattr(pool, "MOST", 2**12)
    if script == "bench_gpu":
        known = {n: each for n, each in module.contenders(None).items() if each.package is None}
        monkeypatch.setattr(module, "contenders", lambda flash: uncompiled(known))
    words = [f"{script}.py", "--results", str(tmp_path), "--rounds", "2", "--cases"]
    for limit, reached in (("60", 2), ("-1", 0)):
        cases = ["decode:1,2/1,1,8:float32", "prefill:1,2/1,4,8:float32"]
        monkeypatch.setattr(sys, "argv", [*words, *cases, "--limit", limit])
        module.main()
        stored = json.loads((tmp_path / f"{script}.json").read_text("utf-8"))
        assert len(stored["runs"]) == reached
        assert len(stored["not_reached"]) == 2 - reached
        assert all("provenance" in run and run["sets"] >= 1 for run in stored["runs"])
    assert "copies" in capsys.readouterr().out


def test_who_is_missing_on_a_gpu_is_left_out_with_a_reason():
    bench, checking = load("bench_gpu"), load("checking")
    known = bench.contenders(None)
    names = ("flash-attention", "flashinfer", "Helion, one tile", "transformers, with its kernel")
    turns, _, left_out = checking.admitted({n: known[n] for n in names}, small(), CPU)
    assert not turns  # where they are installed, they need a GPU
    assert set(left_out) == set(names)
    assert all(left_out.values())


def test_another_library_that_fits_no_graph_is_left_out(monkeypatch):
    bench = load("bench_gpu")

    def jobs_of(contender, *given):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(bench, "jobs_of", jobs_of)
    buffers, left_out = load("pool").Buffers(small(), CPU), {}
    known, turns = bench.contenders(None), {"torch.onnx.ops": None}
    assert not bench.prepared(known, turns, left_out, small(), CPU, buffers)
    assert "capturing" in left_out["torch.onnx.ops"]
    with pytest.raises(RuntimeError):
        bench.prepared(known, {"rope_lib, half": None}, left_out, small(), CPU, buffers)


def test_a_layer_in_one_launch_takes_part_once_the_library_has_it(monkeypatch):
    bench, checking, kernels = load("bench_gpu"), load("checking"), load("rope_lib.kernels")
    monkeypatch.delattr(kernels, "norm_rotate_into_cache", raising=False)
    known = {"all": bench.contenders(None)["all in one launch"]}
    case = small("layer", tokens=1)
    assert "norm_rotate_into_cache" in checking.admitted(known, case, CPU)[2]["all"]

    def fused(q, k, v, q_weight, k_weight, cos, sin, k_cache, v_cache, slots, *, eps, pairing):
        width = (q.shape[-1],)
        q, k = (torch.nn.functional.rms_norm(x, width, q_weight, eps) for x in (q, k))
        return kernels.rotate_into_cache(
            q, k, v, cos, sin, k_cache, v_cache, slots, pairing=pairing
        )

    monkeypatch.setattr(kernels, "norm_rotate_into_cache", fused, raising=False)
    assert set(checking.admitted(known, case, CPU)[0]) == {"all"}
    monkeypatch.setattr(kernels, "norm_rotate_into_cache", kernels.rotate_qk)
    with pytest.raises(TypeError):  # our own mistake stops the bench
        checking.admitted(known, case, CPU)


def test_gradients_end_at_what_was_given():
    """Who writes over it gets copies, and what made the copies is no part of the timed backward."""
    bench, contenders = load("bench_gpu"), load("contenders")
    case = small("training")
    overwriting = contenders.Contender(None, "half", transposed=True)
    pair = overwriting.given(case, CPU, seed=1)
    upstream = overwriting.given(case, CPU, seed=2)
    before, wanted = [x.clone() for x in pair], [-x for x in upstream]
    results, given = bench.recorded(overwriting, Overwriting.apply, pair)
    assert all(torch.equal(x, old) for x, old in zip(pair, before, strict=True))
    assert [x.stride() for x in given] == [x.stride() for x in pair]
    with Operators() as ran:
        gradients = bench._back((results, given, upstream))
    assert ran.names.count("neg_") == 2
    assert set(ran.names) <= {"neg_", "detach", "view"}, ran.names
    assert all(map(torch.equal, gradients, wanted))
    plain = contenders.Contender(contenders.ours("half"), "half")
    _, given = bench.recorded(plain, plain.make(case, CPU), pair)
    assert [x.data_ptr() for x in given] == [x.data_ptr() for x in pair]  # no memory of its own


def test_a_pool_is_larger_than_the_last_cache_where_memory_is_timed(monkeypatch):
    pool, contenders = load("pool"), load("contenders")
    monkeypatch.setattr(pool, "last_cache", lambda: 2**13)
    case = small(tokens=16)
    for each in (case, small("training", tokens=16)):
        assert pool.count(each, CPU) * each.nbytes >= 2 * 2**13
    assert pool.count(small("decode", tokens=1), CPU) == 1
    assert pool.count(small(tokens=2**20), CPU) == 2
    buffers = pool.Buffers(case, CPU)
    plain, last = (contenders.Contender(None, "half", heads_last=h) for h in (False, True))
    sets = buffers.of(plain)
    assert sum(x.nbytes for pair in sets for x in pair) == case.nbytes * buffers.count
    assert len({x.data_ptr() for pair in sets for x in pair}) == 2 * buffers.count
    assert buffers.of(plain) is sets
    assert buffers.of(last) is not sets


def test_the_last_cache_is_read_from_the_system(monkeypatch, tmp_path):
    pool = load("pool")
    pool.last_cache.cache_clear()
    monkeypatch.setattr(pool, "CACHES", tmp_path)
    assert pool.last_cache() == pool.UNKNOWN
    for index, size in enumerate(("32K", "1M", "36608K")):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(size + "\n", "ascii")
    pool.last_cache.cache_clear()
    assert pool.last_cache() == 36608 * 1024
    pool.last_cache.cache_clear()


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    pool, asked = load("pool"), []

    class Library:
        def __init__(self, name):
            self.mallopt = lambda option, value: asked.append(option) or 1

    monkeypatch.setattr(pool.ctypes, "CDLL", Library)
    assert pool.keep_freed_memory()
    assert asked == [pool.MMAP_MAX, pool.TRIM_THRESHOLD]
    monkeypatch.setattr(pool.ctypes, "CDLL", lambda name: object())
    assert not pool.keep_freed_memory()


def test_buffers_rotate_and_results_stay_until_their_next_turn():
    pool, seen = load("pool"), []
    ring = pool.Ring(3)
    one = pool.rotating(["a", "b", "c"], lambda x: seen.append(x) or x.upper(), ring)
    other = pool.rotating(["d", "e", "f"], lambda x: seen.append(x) or x.upper(), ring)
    assert [job() for job in (one, other, one, other)] == ["B", "F", "A", "E"]
    assert seen == ["b", "f", "a", "e"]
    assert ring.held == ["A", "E", "F"]  # one ring for all: the same memory serves everybody
    ring.hold = False
    one()
    assert ring.held == ["A", "E", None]


def test_a_copy_rotates_where_its_source_does(monkeypatch):
    contenders, pool = load("contenders"), load("pool")
    monkeypatch.setattr(pool, "count", lambda case, device: 3)
    case = small()
    turn, pair = contenders.copy_over(case, CPU), case.heads_of(seed=1, heads_last=False)
    places = [turn(*pair)[0].data_ptr() for _ in range(4)]
    assert len(set(places)) == 3
    assert places[0] == places[3]


def test_a_sweep_gives_the_library_other_tiles_and_its_own_back(monkeypatch):
    sweep = load("sweep_gpu")
    monkeypatch.setattr(load("pool"), "MOST", 2**12)
    own, seen = sweep.launch.share, []
    with pytest.raises(KeyError), sweep.shared_as((16, 2, 4)):
        raise KeyError(seen.append(sweep.launch.share(5, 4)))
    assert sweep.launch.share is own
    assert seen == [(16, 2, 4)]
    case = small("decode", tokens=1, head_dim=64)
    monkeypatch.setattr(sweep, "tiles", lambda case: [(1, 1, 1), (1, 2, 1)])
    measured = sweep.measure(case, CPU, 2)
    assert {(found["rows"], found["heads"]) for found in measured["tiles"]} == {(1, 1), (1, 2)}
    middles = [found["copies"][1] for found in measured["tiles"]]
    assert middles == sorted(middles)
    assert not measured["left_out"]


def test_a_tile_that_a_card_has_no_room_for_is_left_out(monkeypatch):
    sweep, as_it_is = load("sweep_gpu"), load("sweep_gpu").job_of

    def job_of(tile, *given):
        if tile == (1, 2, 1):
            raise RuntimeError("out of resources")
        return as_it_is(tile, *given)

    monkeypatch.setattr(sweep, "tiles", lambda case: [(1, 1, 1), (1, 2, 1)])
    monkeypatch.setattr(sweep, "job_of", job_of)
    measured = sweep.measure(small("decode", tokens=1), CPU, 2)
    assert [found["heads"] for found in measured["tiles"]] == [1]
    assert measured["left_out"] == {"(1, 2, 1)": "RuntimeError: out of resources"}


def test_the_tiles_of_a_sweep_hold_the_librarys_own():
    sweep = load("sweep_gpu")
    for case in sweep.shapes():
        tiles = sweep.tiles(case)
        assert sweep.launch.share(case.tokens, case.head_dim // 2) in tiles
        assert 2 < len(tiles) < 50
        assert all(n & (n - 1) == 0 for tile in tiles for n in tile)
    assert not any(case.mode == "layer" for case in sweep.shapes())


def test_one_command_for_a_gpu_stops_where_there_is_none():
    """No test, no bench and no sweep begins."""
    script = ROOT / "benchmarks" / "gpu.sh"
    words = script.read_text("utf-8")
    steps = ["tests/kernels", "bench_gpu.py", "sweep_gpu.py"]
    assert sorted(steps, key=words.index) == steps
    if torch.cuda.is_available() or sys.platform == "win32":
        pytest.skip("with a GPU it would begin")
    environment = {"PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    ended = subprocess.run(["sh", script], env=environment, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "needs a GPU" in ended.stderr
    assert not ended.stdout
