"""The checker of the exercises: no right answer refused, no wrong one passed, one line printed."""

import math

import numpy as np
import pytest
import torch

from rope_lib.course.exercises import check


def square(x):
    return x * x


def of(*values):
    """Cases of one argument each."""
    return [(value,) for value in values]


@pytest.fixture
def line(capsys):
    """Calls ``check``, asserts that it printed one line and returned nothing; gives the line."""

    def checked(answer, spec, cases, **options) -> str:
        assert check(answer, spec, cases, **options) is None
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        assert printed.endswith(".\n")
        return printed.strip()

    return checked


def not_implemented(x):
    raise NotImplementedError("fill me in")


@pytest.mark.parametrize("stub", [lambda x: None, lambda x: ..., not_implemented])
def test_a_stub_is_not_written_yet(line, stub):
    assert line(stub, square, of(1.0, 2.0)).startswith("Not written yet.")


def prints_only(x):
    """An answer that was written, but is not returned."""
    print(x * x)


def test_an_answer_that_is_printed_only_is_told_so(line, capsys):
    check(prints_only, square, of(2.0))
    assert "must be returned too" in capsys.readouterr().out


def test_a_result_missing_in_a_later_case_is_named(line):
    assert "in case 2 of 2, called with (2), your function returned None" in line(
        lambda x: x * x if x < 2 else None, square, of(1.0, 2.0)
    )


def test_a_right_answer_on_random_cases(line):
    text = line(square, square, lambda rng: (rng.normal(size=3),))
    assert text == "Right: agrees with the slow version on 50 random cases."


def test_a_right_answer_on_given_cases(line):
    assert line(square, square, of(1, 2, 3)) == "Right: agrees with the slow version on 3 cases."


def test_a_single_argument_needs_no_tuple(line):
    assert line(square, square, lambda rng: rng.normal()).startswith("Right:")


def test_random_cases_are_the_same_on_every_run(line):
    seen = [[], []]
    for run in seen:
        line(lambda x, run=run: run.append(x) or x, lambda x: x, lambda rng: (rng.normal(),))
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 50


FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", FLOATS)
def test_another_order_of_the_same_sum_is_right(line, dtype):
    def draw(rng):
        return (torch.from_numpy(rng.normal(size=(3, 128))).to(dtype),)

    assert line(lambda x: x.flip(-1).cumsum(-1)[..., -1], lambda x: x.sum(-1), draw)[:5] == "Right"


@pytest.mark.parametrize(("dtype", "error"), list(zip(FLOATS, [1e-7, 1e-3, 0.1, 0.1], strict=True)))
def test_a_small_mistake_is_still_seen(line, dtype, error):
    assert line(lambda x: x + error, torch.clone, of(torch.zeros(2, dtype=dtype)))[:7] == "Not yet"


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_wrong_value_is_named_with_its_place(line, dtype):
    def spoiled(x):
        result = x.clone()
        result[1, 2] += 1
        return result

    text = line(spoiled, torch.clone, of(torch.zeros(2, 3, dtype=dtype)))
    assert "the largest difference is 1, at [1, 2]: you have 1, expected 0" in text


SAME = [
    (2.0, 2),
    (2, 2.0),
    (2.0, np.float64(2)),
    (np.float32(2), 2.0),
    (torch.tensor(2.0), 2.0),
    (2.0, torch.tensor(2.0, dtype=torch.float64)),
    (0.1 + 1e-8, 0.1),
    (1 + 1e-8j, 1 + 0j),
    (float("nan"), float("nan")),
    (float("inf"), float("inf")),
    (True, np.bool_(True)),
    (torch.tensor(False), False),
    ("half", "half"),
    ((1.0, [2.0]), [1.0, (2.0,)]),
    ((), ()),
    (None, None),
    ({"a": 1}, {"a": 1}),
    (np.array([1, 2], dtype=np.int32), np.array([1, 2])),
    (np.array([1, 2], dtype=np.uint8), np.array([1, 2])),
    (np.array([np.nan, np.inf]), np.array([np.nan, np.inf])),
    (torch.tensor([1 + 1j, 2]), torch.tensor([1 + 1j, 2])),
    (torch.tensor([1 + 1j]).conj(), torch.tensor([1 - 1j])),
    (torch.ones(2, requires_grad=True), torch.ones(2)),
    (torch.zeros(0, 4), torch.zeros(0, 4)),
    (torch.tensor([True]), torch.tensor([True])),
]


@pytest.mark.parametrize(("result", "expected"), SAME)
def test_equal_results_are_right(line, result, expected):
    assert line(lambda x: result, lambda x: expected, of(1)).startswith("Right:")


DIFFERENT = [
    (2.1, 2.0, "you have 2.1, expected 2"),
    (1.0 + 2.0j, 1.0, "you have 1+2j, expected 1"),
    (0.5, math.cos(math.pi / 2), "you have 0.5, expected 0"),  # 6e-17 in float64
    (np.ones(2), np.array([1.0, 1e-13]), "at [1]: you have 1, expected 0"),
    (1e-16 + 1j, 1.0 - 1j, "you have 0+1j, expected 1-1j"),
    (float("nan"), 1.0, "you have nan, expected 1"),
    (1.0, float("nan"), "you have 1, expected nan"),
    (float("inf"), 1.0, "you have inf, expected 1"),
    (-float("inf"), float("inf"), "you have -inf, expected inf"),
    (1, True, "returned a number (1), expected True or False"),
    (True, 1, "returned True or False (True), expected a number"),
    (False, True, "returned False, expected True"),
    ("half", "interleaved", "returned 'half', expected 'interleaved'"),
    ("2", 2, "returned a string ('2'), expected a number"),
    ((1, 2), (1, 2, 3), "returned 2 values, expected 3"),
    ((1, 2), (1, 3), "value 2 of 2: you have 2, expected 3"),
    (1, (1,), "returned a number (1), expected a tuple or list"),
    (1, None, "expected a value of type NoneType"),
    (np.ones(2), torch.ones(2), "returned a numpy array ([1, 1]), expected a torch tensor"),
    (torch.ones(2, 3), torch.ones(3, 2), "has shape (2, 3), expected (3, 2)"),
    (torch.ones(2, 1), torch.ones(2), "has shape (2, 1), expected (2,)"),
    (torch.ones(2).double(), torch.ones(2), "has dtype float64, expected float32"),
    (np.ones(2), np.ones(2, dtype=int), "has dtype float64, expected int64"),
    (np.ones(2, dtype=int), np.ones(2), "has dtype int64, expected float64"),
    (np.array([1.0, np.nan]), np.ones(2), "at [1]: you have nan, expected 1"),
    (np.array([1, 2]), np.array([1, 3]), "the largest difference is 1, at [1]"),
    (torch.tensor([True]), torch.tensor([False]), "you have True, expected False"),
    ({"a": 1}, {"a": 2}, "returned {'a': 1}, expected {'a': 2}"),
]


@pytest.mark.parametrize(("result", "expected", "words"), DIFFERENT)
def test_what_is_wrong_is_named(line, result, expected, words):
    text = line(lambda x: result, lambda x: expected, of(1))
    assert text.startswith("Not yet: in case 1 of 1, called with (1), ")
    assert words in text


def test_an_exception_is_named_by_type_and_first_line(line):
    def failing(x):
        raise ValueError("odd width\nand more")

    assert line(failing, square, of(1)).endswith("your function raised ValueError: odd width.")


def test_an_exception_without_a_message(line):
    def failing(x):
        raise IndexError

    assert line(failing, square, of(1)).endswith("your function raised IndexError.")


@pytest.mark.parametrize("value", [torch.ones(3), np.ones(3), [1.0, np.nan], (np.ones(3),)])
def test_a_changed_argument_is_named(line, value):
    def greedy(unused, x):
        part = x[0] if isinstance(x, tuple) else x
        part[0] = 5.0
        return 1

    text = line(greedy, lambda unused, x: 1, [(0, value)])
    assert "changed its argument 2 in place" in text
    assert (value[0] if isinstance(value, tuple) else value)[0] == 1.0


def test_a_list_argument_may_not_grow(line):
    text = line(lambda x: x.append(1) or 1, lambda x: 1, of([0]))
    assert "changed its argument 1 in place" in text


def test_a_dictionary_may_not_change(line):
    text = line(lambda x: x.pop("a"), lambda x: x["a"], of({"a": 1}))
    assert "changed its argument 1 in place" in text


def test_an_argument_keeps_asking_for_its_gradient(line):
    def slope(x):
        return torch.autograd.grad((x**2).sum(), x)[0]

    assert line(slope, slope, of(torch.ones(3, requires_grad=True))).startswith("Right:")


def test_the_specification_may_not_disturb_the_answer(line):
    def spec(x):
        x += 1
        return x

    assert line(lambda x: x + 1, spec, of(np.zeros(2))).startswith("Right:")


def test_the_first_of_several_wrong_cases_is_named(line):
    text = line(lambda x: x, square, of(0.0, 1.0, 3.0, 4.0))
    assert "in case 3 of 4, called with (3), you have 3, expected 9" in text


def test_the_tolerance_may_be_set(line):
    assert line(lambda x: x + 0.1, lambda x: x, of(0.0), tolerance=0.2).startswith("Right:")
    for tolerance in (None, 0.05):
        text = line(lambda x: x + 0.1, lambda x: x, of(0.0), tolerance=tolerance)
        assert text.startswith("Not yet:")


def test_arguments_are_described_in_few_words(line):
    def anything(*arguments):
        return 1

    case = (torch.ones(2, 8), np.array([0.5, 1 / 3]), 1 / 3, "half", square, list(range(30)))
    text = line(anything, lambda *arguments: 2, [case])
    assert "called with (shape (2, 8), [0.5, 0.3333], 0.3333, 'half', square, [0, 1, 2," in text
    assert len(text) < 180
    assert "shape (5,)" in line(anything, lambda *arguments: 2, of(torch.ones(5)))


@pytest.mark.parametrize(("answer", "spec", "name"), [(3, square, "answer"), (square, 3, "spec")])
def test_only_functions_can_be_checked(answer, spec, name):
    with pytest.raises(TypeError, match=f"{name} must be a function, got 3"):
        check(answer, spec, of(1))


def test_no_cases_prove_nothing():
    with pytest.raises(ValueError, match="cases must hold at least one"):
        check(square, square, [])


def test_cases_that_cannot_be_drawn_are_named():
    with pytest.raises(TypeError, match="cases must be a function or a list of tuples, got 5"):
        check(square, square, 5)


@pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
def test_a_tolerance_that_allows_nothing_is_named(tolerance):
    with pytest.raises(ValueError, match="tolerance must be at least 0, got"):
        check(square, square, of(1), tolerance=tolerance)


def test_a_faulty_specification_is_not_blamed_on_the_reader():
    with pytest.raises(ZeroDivisionError):
        check(square, lambda x: x / 0, of(1))
