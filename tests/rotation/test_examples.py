"""The examples in the docstrings of the library print what they say.

An example takes three lines as given: ``import torch``, ``from rope_lib import *``, and
``from rope_lib... import *`` of its own module.
"""

import doctest
import importlib
import inspect

import pytest
import torch

import rope_lib
from test_floors import FILES

WITH_EXAMPLES = [name for name, path in FILES.items() if ">>> " in path.read_text("utf-8")]
# Values whose use is shown with the functions that take or return them.
SHOWN_ELSEWHERE = {"Axes", "Precision", "Rescaled", "rotate_"}


def examples_in(name):
    """The examples of each docstring of a module, with what they take as given."""
    module = importlib.import_module(name)
    given = {"torch": torch} | {each: getattr(rope_lib, each) for each in rope_lib.__all__}
    given |= {each: value for each, value in vars(module).items() if not each.startswith("_")}
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [each for each in finder.find(module, extraglobs=given) if each.examples]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_print_what_they_say(name):
    torch.manual_seed(0)
    found = examples_in(name)
    assert found
    for each in found:
        said = []
        doctest.DocTestRunner(verbose=False).run(each, out=said.append)
        assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(set(rope_lib.__all__) - SHOWN_ELSEWHERE))
def test_help_for_a_public_name_shows_an_example(name):
    assert ">>> " in inspect.getdoc(getattr(rope_lib, name))


def test_a_wrong_example_would_be_found():
    (right,) = (e for e in examples_in("rope_lib.frequencies") if e.name.endswith("wavelengths"))
    right.examples[0].want = right.examples[0].want.replace("6.2832", "6.2831")
    assert doctest.DocTestRunner(verbose=False).run(right, out=len).failed == 1
