"""Execute notebooks top to bottom and write them in their one normal form.

    python tools/refresh.py                     every notebook of the book
    python tools/refresh.py notebooks/03_*.ipynb -j 2
    python tools/refresh.py --check             run nothing, say which files are not in normal form

A notebook is written only if all its cells ran without an error and without a word on stderr, and
only if something changed. The first cell, for those who lack rope_lib, is put there on the way.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import importlib
import os
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from rope_lib.course.plotting import FONTS
from stamp import UNPUBLISHED_CELL

ROOT = Path(__file__).resolve().parent.parent
SETUP_ID = "colab-setup"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {  # without a version, so that a newer Python changes no file
    "codemirror_mode": {"name": "ipython", "version": 3},
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "nbconvert_exporter": "python",
    "pygments_lexer": "ipython3",
}
FONT_STACK = ", ".join(f"'{font}'" for font in FONTS[:-1]) + f", {FONTS[-1]}"
KEPT_CELL_METADATA = ("mystnb", "tags", "tolerance")


class RefreshError(Exception):
    """A notebook that cannot be refreshed; the message names the notebook and the cell."""


# ---------------------------------------------------------------- normal form


def normalise(notebook: NotebookNode) -> NotebookNode:
    """A copy in normal form: set-up cell, metadata, ids and outputs. Nothing is executed."""
    notebook = copy.deepcopy(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": LANGUAGE_INFO}
    )
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    put_setup_cell(notebook)
    for position, cell in enumerate(notebook.cells):
        normalise_cell(cell, position)
    return notebook


def put_setup_cell(notebook: NotebookNode) -> None:
    """Make the first cell the set-up cell of a tree that is not published; see tools/stamp.py."""
    if not notebook.cells or notebook.cells[0].get("id") != SETUP_ID:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(id=SETUP_ID))
    notebook.cells[0].source = UNPUBLISHED_CELL
    notebook.cells[0].metadata = nbformat.from_dict({"tags": ["remove-cell"]})


def normalise_cell(cell: NotebookNode, position: int) -> None:
    """Keep the metadata that the book reads, give an id where none is, clean the outputs."""
    cell.source = cell.source.strip("\n")
    kept = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
    cell.metadata = nbformat.from_dict(kept)
    cell.pop("attachments", None)
    if not cell.get("id"):
        cell.id = hashlib.sha256(f"{position} {cell.source}".encode()).hexdigest()[:8]
    if cell.cell_type == "code":
        cell.outputs = [normalise_output(output) for output in merge_streams(cell.outputs)]


def merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join neighbouring pieces of one stream; where a stream is cut depends on timing."""
    merged: list[NotebookNode] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(output)
    return merged


def normalise_output(output: NotebookNode) -> NotebookNode:
    """Sorted keys, no metadata, small figures."""
    if "metadata" in output:
        output.metadata = NotebookNode()
    if "data" in output and "image/svg+xml" in output.data:
        output.data["image/svg+xml"] = clean_svg(output.data["image/svg+xml"])
    return nbformat.from_dict(dict(sorted(output.items())))


def clean_svg(svg: str) -> str:
    """Drop the XML prologue and metadata, round coordinates to 1/100 point, name fonts to fall to.

    Below 1/100 point processors and versions differ, and nobody can see it.
    """
    unseen = r"<\?xml.*?\?>|<!DOCTYPE.*?>|<!--.*?-->|<metadata>.*?</metadata>"
    svg = re.sub(unseen, "", svg, flags=re.DOTALL)
    coordinates = r'(?<=\s)(?:d|x|y|points)="[^"]*"|translate\([^)]*\)'
    svg = re.sub(coordinates, lambda match: round_numbers(match[0]), svg)
    svg = re.sub(r"'DejaVu Sans'(?!,)", FONT_STACK, svg)  # formulas name one font only
    return re.sub(r"\n\s*", "\n", svg.strip()) + "\n"


def round_numbers(text: str) -> str:
    """Decimal numbers to two places, without needless zeros, and all on one line."""

    def rounded(number: re.Match) -> str:
        value = round(float(number[0]), 2) + 0.0  # + 0.0 makes 0 of -0
        return f"{value:.2f}".rstrip("0").rstrip(".")

    text = re.sub(r"-?\d+\.\d+(?:e-?\d+)?", rounded, text)
    return re.sub(r"\s+", " ", text).replace(' "', '"')


def dump(notebook: NotebookNode) -> str:
    """The exact text of the file: sorted keys, one space of indent, one newline at the end."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


# ---------------------------------------------------------------- execution


def execute(notebook: NotebookNode, path: Path) -> None:
    """Run every cell in a fresh kernel, in the notebook's own folder; outputs are filled in."""
    reached = 0

    def remember(cell: NotebookNode, cell_index: int) -> None:
        nonlocal reached
        reached = cell_index

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,
        extra_arguments=["--log-level=ERROR"],  # a local kernel need not warn about its transport
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=remember,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise RefreshError(f"{_where(notebook, path, reached)} raised\n{error}") from None
    except Exception as error:  # a dead kernel or a timeout: say where, whatever it was
        reason = f"{type(error).__name__}: {error}"
        raise RefreshError(f"{_where(notebook, path, reached)} did not finish\n{reason}") from None


def refuse_complaints(notebook: NotebookNode, path: Path) -> None:
    """Raise if a cell wrote to stderr or shows an error."""
    for position, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                reason = f"shows an error, {output.ename}: {output.evalue} (catch it and print it)"
            elif output.output_type == "stream" and output.name == "stderr":
                reason = f"wrote to stderr:\n{output.text}"
            else:
                continue
            raise RefreshError(f"{_where(notebook, path, position)} {reason}")


def _where(notebook: NotebookNode, path: Path, position: int) -> str:
    cell = notebook.cells[position]
    first_line = cell.source.splitlines()[0]
    return f"{_shown(path)}: cell {position + 1} (id {cell.id}, “{first_line}”)"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


# ---------------------------------------------------------------- files


def refresh(path: Path) -> str:
    """Execute one notebook and write it if anything changed; returns what happened."""
    started = time.perf_counter()
    before = path.read_text(encoding="utf-8")
    notebook = normalise(nbformat.reads(before, as_version=4))
    execute(notebook, path)
    refuse_complaints(notebook, path)
    after = dump(normalise(notebook))
    seconds = time.perf_counter() - started
    if after != before:
        write_atomically(path, after)
    return f"{'refreshed' if after != before else 'unchanged'} in {seconds:.0f} s"


def check(path: Path) -> str:
    """Raise if the file is not in normal form. Outputs are not computed anew."""
    text = path.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, as_version=4)
    normal = normalise(notebook)
    refuse_complaints(normal, path)
    if dump(normal) != text:
        raise RefreshError(f"{_shown(path)}: {first_difference(notebook, normal)}; `make refresh`")
    return "in normal form"


def first_difference(notebook: NotebookNode, normal: NotebookNode) -> str:
    """Name the first place in which a notebook is not in normal form."""
    if notebook.metadata != normal.metadata:
        return "the notebook's metadata are not in normal form"
    if len(notebook.cells) != len(normal.cells):
        return "the set-up cell is missing, or a cell is empty"
    for position, (cell, wanted) in enumerate(zip(notebook.cells, normal.cells, strict=True)):
        for key in ("id", "metadata", "source", "outputs"):
            if cell.get(key) != wanted.get(key):
                return f"the {key} of cell {position + 1} (id {wanted.id}) is not in normal form"
    return "the file's layout is not in normal form"


def write_atomically(path: Path, text: str) -> None:
    """Replace the file in one step, so that no half-written notebook is ever seen."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def all_notebooks() -> list[Path]:
    """Every notebook of the book: the chapters, then the solutions."""
    folder = ROOT / "notebooks"
    return sorted(folder.glob("*.ipynb")) + sorted((folder / "solutions").glob("*.ipynb"))


# ---------------------------------------------------------------- command line


def _attempt(job: tuple[Path, bool]) -> tuple[Path, bool, str]:
    path, only_check = job
    try:
        return path, True, check(path) if only_check else refresh(path)
    except (RefreshError, OSError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        return path, False, str(error) if _shown(path) in str(error) else f"{_shown(path)}: {error}"


def _warm_up() -> None:
    """Build matplotlib's font cache now: in a kernel it would announce itself on stderr."""
    importlib.import_module("matplotlib.font_manager")
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # the kernel's debugger needs no warning
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # as `make test` runs them


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Execute notebooks and write their normal form.")
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all)")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="notebooks at the same time")
    parser.add_argument("--check", action="store_true", help="run and write nothing, only report")
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.paths] or all_notebooks()
    if not options.check:
        _warm_up()
    failed = 0
    # Spawned, since matplotlib and zmq may have started threads that a fork would not take along.
    with ProcessPoolExecutor(max(1, options.jobs), get_context("spawn")) as pool:
        for path, good, text in pool.map(_attempt, [(path, options.check) for path in paths]):
            failed += not good
            print(f"{_shown(path)}: {text}" if good else f"FAILED {text}", flush=True)
    print(f"{len(paths) - failed} of {len(paths)} notebooks {'good' if options.check else 'done'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
