"""The address is derived where the book is published: a stamped copy has it everywhere, and this
tree, which people see before that, has none."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell

import rope_lib
import stamp
from built_site import ADDRESS, ROOT, build_book
from stamp import Address, StampError

OWN_DOMAIN = Address("Fork-er/rope.fork", "https://rope.example.org", "f" * 40, branch="trunk")
NOTEBOOKS = sorted(path.relative_to(ROOT) for path in ROOT.glob("notebooks/**/*.ipynb"))
LINK = re.compile(r"https?://(?:github\.com|[\w-]+\.github\.io)/[^\s\"')\\<>]*", re.IGNORECASE)
FILES = sorted(stamp.read_stamps())


def read(path):
    return path.read_text(encoding="utf-8")


def first_cell(path):
    return "".join(json.loads(read(path))["cells"][0]["source"])


def other_cells(path):
    return json.loads(read(path))["cells"][1:]


def copy_of(root, folder, address):
    stamp.write_copy(root, folder, address)
    return folder


# This tree


def test_no_file_here_names_an_address_of_its_own():
    """Neither of the book's repository, which is not known here, nor a word in its place."""
    for name in FILES:
        assert not LINK.findall(read(ROOT / name)), name
    for path in NOTEBOOKS:
        assert first_cell(ROOT / path) == stamp.UNPUBLISHED_CELL


def test_a_site_built_here_says_that_it_is_not_published(tmp_path):
    """Where a page would need the address; and no button leads to an address that is none."""
    source, out = tmp_path / "book", tmp_path / "out/_build/html"
    source.mkdir()
    for name in ("book", "_config.yml", "LICENSE"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, source / name)
    pages = {"run": read(ROOT / "book/run.md"), "intro": read(ROOT / "book/intro.md")}
    cite = pages["intro"].partition("## Cite this book")[2]
    (source / "book/intro.md").write_text(f"# Intro\n\n## Cite this book\n{cite}", "utf-8")
    (source / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: book/run\n", "utf-8"
    )
    status, log = build_book(source, tmp_path / "out")
    assert status == 0, log
    for name in pages:
        text = read(out / "book" / f"{name}.html")
        page = BeautifulSoup(text, "html.parser")
        assert "This copy is not published" in page.find("article").get_text(" ")
        assert not page.select("[class*=launch-buttons], [class*=source-buttons]")
        assert not page.find_all("meta", property=["og:url", "og:image"])
        assert "colab.research" not in text
    assert not (out / "sitemap.xml").exists()


# The notebooks' first cell


@pytest.fixture
def shell():
    """A shell whose ``%pip`` only writes down what it was asked for."""
    shell, asked = InteractiveShell(), []
    shell.register_magic_function(asked.append, magic_kind="line", magic_name="pip")
    shell.asked = asked
    yield shell
    shell.clear_instance()


def published_cell(**changes):
    settings = {"repository": ADDRESS.repository, "site": ADDRESS.site, "commit": ADDRESS.commit}
    return stamp.PUBLISHED_CELL.format(requirement=Address(**settings, **changes).requirement)


def test_on_colab_a_published_notebook_installs_the_library_of_its_commit(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    shell.run_cell(published_cell()).raise_error()
    wanted = f"rope_lib @ git+https://github.com/some-body/turned-book@{ADDRESS.commit}"
    assert shell.asked == [f'install --quiet --no-deps "{wanted}"']


def test_on_colab_a_released_library_is_installed_by_its_version(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    shell.run_cell(published_cell(released="0.1.0")).raise_error()
    assert shell.asked == ["install --quiet --no-deps rope_lib==0.1.0"]


@pytest.mark.parametrize("cell", [published_cell(), stamp.UNPUBLISHED_CELL])
def test_where_the_library_is_the_first_cell_does_nothing(shell, cell):
    shell.run_cell(cell).raise_error()
    assert shell.asked == []


def test_an_unpublished_notebook_says_in_a_sentence_what_to_do(shell, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    said = shell.run_cell(stamp.UNPUBLISHED_CELL).error_in_exec
    assert isinstance(said, ModuleNotFoundError)
    assert re.fullmatch(r"rope_lib is not installed, [^.]*: open it with [^.]*\.", str(said))
    assert shell.asked == []


# A stamped copy


@pytest.mark.parametrize("address", [ADDRESS, OWN_DOMAIN], ids=["pages", "own domain"])
def test_a_copy_has_its_address_wherever_one_is_needed(tmp_path, address):
    copy = copy_of(ROOT, tmp_path / "copy", address)
    for path in NOTEBOOKS:
        assert f"{address.url}@{address.commit}" in first_cell(copy / path)
        assert (
            json.loads(read(copy / path))["cells"][1:] == json.loads(read(ROOT / path))["cells"][1:]
        )
    for name in FILES:
        text = read(copy / name)
        assert "not published" not in text, name
        links = LINK.findall(text)
        assert all(link.startswith((address.url, address.site)) for link in links), links
    config = read(copy / "_config.yml")
    assert f"  url: {address.url}\n  branch: colab\n" in config
    assert f"  baseurl: {address.site}/\n" in config
    assert f'edited_branch: "{address.branch}"' in config
    assert f"git clone {address.url}\n" in read(copy / "README.md")
    assert f"git clone {address.url}\n" in read(copy / "book/run.md")
    assert f"{address.url}/blob/{address.branch}/CITATION.cff" in read(copy / "book/intro.md")
    assert f"\\url{{{address.site}}}" in read(copy / "book/intro.md")
    assert f'repository-code: "{address.url}"\nurl: "{address.site}"\n' in read(
        copy / "CITATION.cff"
    )
    assert f'Source = "{address.url}"' in read(copy / "pyproject.toml")


def test_nothing_else_is_changed(tmp_path):
    copy = copy_of(ROOT, tmp_path / "copy", ADDRESS)
    files = {p.relative_to(copy) for p in copy.rglob("*") if p.is_file()}
    changed = {p for p in files if (copy / p).read_bytes() != (ROOT / p).read_bytes()}
    assert changed == {*map(Path, FILES), *NOTEBOOKS}
    assert {Path(".ci/run"), Path(".github/workflows/pages.yml"), Path("Makefile")} <= files
    assert not any(part in (".git", ".venv", "_build") for p in files for part in p.parts)


@pytest.fixture
def small_tree(tmp_path):
    """What the stamps touch, and one notebook, in a folder of its own."""
    root = tmp_path / "tree"
    for name in [*FILES, "notebooks/01_see_word_order.ipynb"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_no_longer_says_what_is_replaced_stops_it(small_tree, tmp_path, name):
    (small_tree / name).write_text("something else", encoding="utf-8")
    with pytest.raises(StampError, match=rf"{re.escape(name)} says this 0 times"):
        stamp.write_copy(small_tree, tmp_path / "copy", ADDRESS)


def test_a_notebook_with_another_first_cell_stops_it(small_tree, tmp_path):
    path = small_tree / "notebooks/01_see_word_order.ipynb"
    path.write_text(read(path).replace("find_spec", "look_for"), encoding="utf-8")
    with pytest.raises(StampError, match=r"01_see_word_order\.ipynb: the first cell is not"):
        stamp.write_copy(small_tree, tmp_path / "copy", ADDRESS)


def test_a_folder_that_holds_something_is_left_alone(small_tree, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/mine").touch()
    with pytest.raises(StampError, match="is not empty"):
        stamp.write_copy(small_tree, tmp_path / "copy", ADDRESS)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["mine"]


def test_a_tree_is_not_copied_into_itself(small_tree):
    with pytest.raises(StampError, match="lies in the tree"):
        stamp.write_copy(small_tree, small_tree / "copy", ADDRESS)
    stamp.write_copy(small_tree, small_tree / "_build/copy", ADDRESS)


def test_no_page_of_the_published_site_says_that_it_is_not(site):
    """Neither do the notebooks that it offers for download."""
    files = [*site.rglob("*.html"), *site.glob("_sources/**/*.ipynb")]
    assert len(files) > 2 * len(NOTEBOOKS)
    for path in files:
        text = " ".join(read(path).split())
        assert not re.search("this copy (of the notebook )?is not published", text, re.I), path
    intro = read(site / "book/intro.html")
    assert f"{ADDRESS.url}/blob/main/CITATION.cff" in intro
    assert ADDRESS.site in BeautifulSoup(intro, "html.parser").find("pre").get_text()


# The address


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/you/name",
        "https://github.com/you/name.git",
        "https://github.com/you/name/",
        "git@github.com:you/name.git",
        "ssh://git@github.com/you/name.git",
    ],
)
def test_the_repository_of_a_remote(remote):
    assert stamp.repository_of(remote) == "you/name"


@pytest.mark.parametrize("remote", ["/a/folder", "https://example.org/you/name", "you/name"])
def test_a_remote_elsewhere_is_named(remote):
    with pytest.raises(StampError, match=re.escape(remote)):
        stamp.repository_of(remote)


@pytest.mark.parametrize(
    ("repository", "site"),
    [
        ("you/name", "https://you.github.io/name"),
        ("You/Name", "https://you.github.io/Name"),
        ("You/you.github.io", "https://you.github.io"),
    ],
)
def test_where_github_serves_a_repository(repository, site):
    assert stamp.pages_url(repository) == site


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"repository": "name"}, "the repository is 'name'"),
        ({"repository": "you/name/more"}, "the repository is 'you/name/more'"),
        ({"repository": "under_score/name"}, "the repository is 'under_score/name'"),
        ({"repository": "you/name.git"}, "the repository is 'you/name.git'"),
        ({"repository": 'you/a"; b'}, "the repository is"),
        ({"site": "example.org"}, "the site is 'example.org'"),
        ({"site": "https://example.org/<b>"}, "the site is"),
        ({"commit": "main"}, "the commit is 'main'"),
        ({"branch": "a b"}, "the branch is 'a b'"),
    ],
)
def test_a_bad_address_is_refused(changes, named):
    good = {"repository": "you/name", "site": "https://you.github.io/name", "commit": "0" * 40}
    with pytest.raises(StampError, match=re.escape(named)):
        Address(**{**good, **changes})


# The command, in a clone whose remote was made up


def git(folder, *arguments):
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def run_stamp(clone, *arguments):
    command = [sys.executable, "tools/stamp.py", *map(str, arguments)]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A repository of one commit, tagged as its version, with a remote that does not exist."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("clone") / "book"
    shutil.copytree(ROOT, folder, ignore=stamp.left_out)
    git(folder, "init", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "all of it")
    git(folder, "tag", f"v{rope_lib.__version__}")
    git(folder, "remote", "add", "origin", "git@github.com:some-body/turned-book.git")
    return folder


@pytest.fixture
def behind(tmp_path):
    """`behind(repository)` gives variables with which git finds it at the made-up address."""

    def variables(repository):
        (tmp_path / "gitconfig").write_text(
            f'[url "{repository.as_uri()}"]\n'
            '  insteadOf = "https://github.com/some-body/turned-book"\n'
            "[protocol.file]\n  allow = always\n[safe]\n  directory = *\n"
        )
        return os.environ | {
            "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
            "GITHUB_REPOSITORY": "some-body/turned-book",
        }

    return variables


def test_without_a_word_the_address_is_that_of_the_clone(clone, tmp_path):
    done = run_stamp(clone, "--into", tmp_path / "copy")
    assert done.returncode == 0, done.stderr
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=clone, text=True).strip()
    notebook = tmp_path / "copy" / NOTEBOOKS[0]
    assert f"git+https://github.com/some-body/turned-book@{head}" in first_cell(notebook)
    assert "https://some-body.github.io/turned-book/" in read(tmp_path / "copy/_config.yml")


def test_the_cell_installs_from_that_address(clone, behind, tmp_path):
    """pip itself, asked as the notebook asks it; git finds the clone behind the made-up address."""
    run_stamp(clone, "--into", tmp_path / "copy")
    line = first_cell(tmp_path / "copy" / NOTEBOOKS[0]).splitlines()[-1]
    requirement = re.fullmatch(r'    %pip install --quiet --no-deps "(.+)"', line)[1]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
         "--target", str(tmp_path / "installed"), requirement],
        check=True, env=behind(clone), capture_output=True,
    )  # fmt: skip
    found = subprocess.check_output(
        [sys.executable, "-c", "import rope_lib; print(rope_lib.__file__)"],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")}, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert Path(found.strip()).is_relative_to(tmp_path / "installed")


def test_a_release_is_installed_only_while_the_library_is_the_same(clone, tmp_path):
    run_stamp(clone, "--released", "--into", tmp_path / "same")
    assert f"rope_lib=={rope_lib.__version__}" in first_cell(tmp_path / "same" / NOTEBOOKS[0])
    changed = tmp_path / "changed"
    shutil.copytree(clone, changed)
    (changed / "rope_lib/new.py").touch()
    git(changed, "add", "-A")
    git(changed, "commit", "-m", "a change")
    run_stamp(changed, "--released", "--into", tmp_path / "newer")
    assert "turned-book@" in first_cell(tmp_path / "newer" / NOTEBOOKS[0])


def test_a_clone_without_a_remote_is_told_what_to_say(clone, tmp_path):
    alone = tmp_path / "alone"
    shutil.copytree(clone, alone)
    git(alone, "remote", "remove", "origin")
    done = run_stamp(alone, "--into", tmp_path / "copy")
    assert done.returncode == 1
    assert re.fullmatch(r"stamp: .*origin.*--repository.*\n", done.stderr, re.DOTALL), done.stderr
    assert not (tmp_path / "copy").exists()


# The branch that Colab opens


def test_the_workflow_writes_the_branch_anew(clone, behind, tmp_path):
    """The very commands of the workflow, with a repository on this disk behind the address."""
    workflow = yaml.safe_load(read(ROOT / ".github/workflows/pages.yml"))
    *_, push = workflow["jobs"]["notebooks"]["steps"]
    bare = tmp_path / "bare"
    subprocess.run(["git", "init", "--quiet", "--bare", bare], check=True)
    for attempt in ("first", "second"):
        runner = tmp_path / attempt
        runner.mkdir()
        run_stamp(clone, "--into", runner / "published")
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", push["run"]],
            cwd=runner,
            env=behind(bare),
            check=True,
        )

    def of_branch(*arguments):
        return subprocess.check_output(["git", *arguments], cwd=bare, text=True).splitlines()

    assert of_branch("rev-list", "--count", "colab") == ["1"]
    files = of_branch("ls-tree", "-r", "--name-only", "colab")
    assert {path.as_posix() for path in NOTEBOOKS} <= set(files)
    assert not any(name.startswith(".github") for name in files)
    cell = "\n".join(of_branch("show", f"colab:{NOTEBOOKS[0].as_posix()}"))
    assert "git+https://github.com/some-body/turned-book@" in cell
