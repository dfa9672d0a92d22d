"""``tools/refresh.py``: a notebook is run and written in one normal form, or left as it was."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

import refresh

DISORDER = {
    "kernelspec": {"name": "conda-env", "display_name": "conda"},
    "language_info": {"name": "python", "version": "3.11.2"},
    "widgets": {},
}


@pytest.fixture
def write(tmp_path):
    """Stores a notebook of these sources, untidy as an editor may leave it; returns its path."""

    def written(*sources: str, **cell_metadata):
        cells = [new_code_cell(source, metadata=cell_metadata) for source in sources]
        path = tmp_path / "some.ipynb"
        nbformat.write(new_notebook(cells=cells, metadata=DISORDER), path)
        return path

    return written


def test_a_notebook_is_run_tidied_and_left_alone_the_next_time(write):
    path = write("import sys\nprint('a')\nsys.stdout.flush()\nprint('b')", "", "1 + 1",
                 collapsed=True, tags=["hide-input"])  # fmt: skip
    assert refresh.refresh(path).startswith("refreshed")
    notebook = nbformat.read(path, as_version=4)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3]
    assert notebook.cells[0].source == refresh.UNPUBLISHED_CELL
    assert [output.text for output in notebook.cells[1].outputs] == ["a\nb\n"]
    assert notebook.cells[2].outputs[0].data == {"text/plain": "2"}
    assert notebook.cells[2].metadata == {"tags": ["hide-input"]}
    assert notebook.metadata.kernelspec.name == "python3"
    assert "version" not in notebook.metadata.language_info

    stamp = path.stat().st_mtime_ns, path.stat().st_ino
    assert refresh.refresh(path).startswith("unchanged")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == stamp
    assert refresh.check(path) == "in normal form"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def f():\n    1 / 0\nf()", "ZeroDivisionError"),
        ("import sys\nprint('careful', file=sys.stderr)", "wrote to stderr:\ncareful"),
        ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
        ("import os\nos._exit(1)", "did not finish\nDeadKernelError"),
    ],
)
def test_a_failing_notebook_is_named_and_not_touched(write, source, words):
    path = write("print('fine')", source)
    before = path.read_bytes()
    with pytest.raises(refresh.RefreshError) as caught:
        refresh.refresh(path)
    assert f"some.ipynb: cell 3 (id {nbformat.read(path, 4).cells[1].id}" in str(caught.value)
    assert words in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["some.ipynb"]


def test_an_error_that_a_tag_permits_is_refused_too(write):
    with pytest.raises(refresh.RefreshError, match="shows an error, ValueError: no"):
        refresh.refresh(write("raise ValueError('no')", tags=["raises-exception"]))


def test_the_command_says_what_failed_and_goes_on(write, capsys):
    good = write("print('fine')")
    bad = good.with_name("bad.ipynb")
    bad.write_text("{", encoding="utf-8")
    assert refresh.main([str(bad), str(good)]) == 1
    said = capsys.readouterr().out
    assert f"FAILED {bad}" in said
    assert f"{good}: refreshed" in said
    assert "1 of 2 notebooks done" in said


def test_check_names_the_first_difference_and_writes_nothing(write):
    path = write("print('fine')")
    before = path.read_bytes()
    with pytest.raises(refresh.RefreshError, match="metadata are not in normal form"):
        refresh.check(path)
    assert path.read_bytes() == before


def test_a_normal_form_stays_as_it_is():
    svg = new_output("display_data", {"image/svg+xml": '<?xml version="1.0"?>\n<svg d="M 1.234"/>'})
    notebook = new_notebook(cells=[new_code_cell("f()", outputs=[svg])])
    once = refresh.normalise(notebook)
    assert refresh.dump(refresh.normalise(once)) == refresh.dump(once)


@pytest.mark.parametrize(
    ("drawn", "cleaned"),
    [
        ('<path d="M 1.23456 -0.5 \nL -0.001 100 \nz\n"/>', '<path d="M 1.23 -0.5 L 0 100 z"/>'),
        ('<use x="7.004" y="-12.345678e1"/>', '<use x="7" y="-123.46"/>'),
        ('<g transform="translate(1.239 2) scale(0.015625)"/>',
         '<g transform="translate(1.24 2) scale(0.015625)"/>'),
        ('<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "a"\n "b">\n<svg/>', "<svg/>"),
        ("<svg>\n <metadata>\n 2024\n </metadata>\n <!-- made by -->\n</svg>", "<svg>\n</svg>"),
        ("<tspan style=\"font: oblique 10px 'DejaVu Sans'\">x</tspan>",
         f'<tspan style="font: oblique 10px {refresh.FONT_STACK}">x</tspan>'),
        ('<path id="d1.23456" style="stroke-width: 0.123456"/>',
         '<path id="d1.23456" style="stroke-width: 0.123456"/>'),
    ],
)  # fmt: skip
def test_drawings_are_cleaned(drawn, cleaned):
    assert refresh.clean_svg(drawn) == cleaned + "\n"
