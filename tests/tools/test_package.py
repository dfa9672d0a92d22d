"""rope_lib as a package of its own: all that it needs, nothing else, and said what it is."""

import email
import json
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import torch
import yaml
from packaging.requirements import Requirement

import rope_lib

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "rope_lib" / "README.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RESULTS = {
    "experiments/results": "rope_lib/course/stored",
    "benchmarks/results": "rope_lib/course/measured",
}


def library() -> set[str]:
    """Every file of the library in this tree."""
    paths = (path for path in (ROOT / "rope_lib").rglob("*") if path.is_file())
    names = {path.relative_to(ROOT) for path in paths if "__pycache__" not in path.parts}
    return {name.as_posix() for name in names if not name.name.startswith(".")}


def results() -> dict[str, str]:
    """Every stored result in this tree: {its name here: its name in an installed library}."""
    return {
        f"{folder}/{path.name}": f"{target}/{path.name}"
        for folder, target in RESULTS.items()
        for path in (ROOT / folder).glob("*.json")
    }


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def metadata(wheel: Path) -> email.message.Message:
    (text,) = (text for name, text in contents(wheel).items() if name.endswith("/METADATA"))
    return email.message_from_bytes(text)


def test_the_wheel_holds_the_library_and_its_results(wheel):
    packed = {name for name in contents(wheel) if ".dist-info/" not in name}
    assert {name.split("/")[2] for name in results().values()} == {"stored", "measured"}
    assert packed == library() - {"rope_lib/README.md"} | set(results().values())


def test_the_sdist_holds_what_the_wheel_is_built_from(sdist):
    with tarfile.open(sdist) as tar:
        packed = {each.name.partition("/")[2] for each in tar.getmembers() if each.isfile()}
    made = {"PKG-INFO", "setup.cfg"} | {name for name in packed if ".egg-info/" in name}
    sources = {"LICENSE", "MANIFEST.in", "pyproject.toml"}
    assert packed - made == library() | set(results()) | sources


def test_the_sdist_gives_the_same_wheel(wheel, wheel_of_the_sdist):
    assert wheel.name == wheel_of_the_sdist.name
    assert contents(wheel) == contents(wheel_of_the_sdist)


def test_the_version_is_said_once(wheel):
    assert "version" in PROJECT["dynamic"]
    assert metadata(wheel)["Version"] == rope_lib.__version__


def test_the_metadata_is_complete(wheel):
    said = metadata(wheel)
    assert said["Name"] == "rope_lib"
    for key in ("Summary", "Author", "Keywords", "License-Expression", "License-File"):
        assert said[key], key
    assert said["Requires-Python"] == ">=3.11"
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload().strip() == README.read_text(encoding="utf-8").strip()


def test_the_classifiers_name_the_pythons_that_are_tested(wheel):
    workflow = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    tested = re.findall(r'"(3\.\d+)"', re.search(r"python: \[.*\]", workflow)[0])
    said = [c.rpartition(" :: ")[2] for c in metadata(wheel).get_all("Classifier")]
    assert [c for c in said if re.fullmatch(r"3\.\d+", c)] == tested


def test_the_book_asks_for_no_older_packages_than_the_library():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    asked = [Requirement(line.partition(" #")[0]) for line in lines if re.match(r"[a-z]", line)]
    book = {each.name: each.specifier for each in asked}
    for ours in map(Requirement, PROJECT["dependencies"]):
        assert set(map(str, ours.specifier)) <= set(map(str, book[ours.name])), ours


def test_the_quick_start_runs():
    torch.manual_seed(0)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["q_rotated"].shape == names["q"].shape
    assert names["llama"].base == 500_000


# How it is cited


def test_what_zenodo_reads_agrees_with_the_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    zenodo = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    same = {"title": "title", "abstract": "description", "keywords": "keywords"}
    assert {key: citation[key] for key in same} == {key: zenodo[z] for key, z in same.items()}
    names = [author["name"] for author in citation["authors"]]
    assert names == [creator["name"] for creator in zenodo["creators"]]
    assert names == [author["name"] for author in PROJECT["authors"]]
    assert citation["license"] == zenodo["license"] == PROJECT["license"]
    assert citation["type"] == zenodo["upload_type"] == "software"


def test_the_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))
