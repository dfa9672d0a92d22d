"""The workflows on GitHub, read as somebody would who wants their rights."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

import rope_lib

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").iterdir())
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def read(path: Path) -> dict:
    """A workflow with every value as text; in YAML 1.1 the key `on` would be true."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)


JOBS = [(path.stem, name, job) for path in FILES for name, job in read(path)["jobs"].items()]

every_workflow = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
every_job = pytest.mark.parametrize(
    ("workflow", "job"), [(workflow, job) for workflow, _, job in JOBS],
    ids=[f"{workflow}-{name}" for workflow, name, _ in JOBS],
)  # fmt: skip


def test_there_are_workflows():
    assert {"test", "weekly", "pages", "release"} <= {path.stem for path in FILES}


@every_workflow
def test_an_action_is_pinned_to_one_commit(path):
    """A tag can be moved to other code; the comment says which version the commit is."""
    used = re.findall(r"uses:\s*(.*)", path.read_text(encoding="utf-8"))
    assert used
    assert [each for each in used if not PINNED.fullmatch(each)] == []


@every_workflow
def test_a_workflow_begins_without_rights(path):
    assert read(path)["permissions"] == {"contents": "read"}


@every_workflow
def test_no_workflow_knows_a_secret_or_gives_a_fork_rights(path):
    assert "secrets" not in path.read_text(encoding="utf-8")
    assert not {"pull_request_target", "issue_comment", "issues"} & set(read(path)["on"])


@every_workflow
def test_what_follows_another_workflow_follows_pushes_only(path):
    """A workflow_run has the rights of this repository, also after the pull request of a fork."""
    workflow = read(path)
    if "workflow_run" in workflow["on"]:
        first = [job for job in workflow["jobs"].values() if "needs" not in job]
        assert all("github.event.workflow_run.event == 'push'" in job["if"] for job in first)


@every_job
def test_nothing_is_written_into_a_script(workflow, job):
    """A title or a branch name could end the line and begin another: scripts get variables."""
    assert not [step["run"] for step in job["steps"] if "${{" in step.get("run", "")]


@every_job
def test_a_job_that_may_write_runs_no_code_of_ours(workflow, job):
    if "write" in str(job.get("permissions", {})):
        assert set(job["permissions"].values()) <= {"read", "write"}
        used = [step["uses"] for step in job["steps"] if "uses" in step]
        assert not [each for each in used if re.match(r"actions/checkout|\.", each)]
        lines = "".join(step.get("run", "") for step in job["steps"]).replace("\\\n", " ")
        assert {line.split()[0] for line in lines.splitlines()} <= {"cd", "rm", "git"}


def test_only_the_branch_of_notebooks_is_written_to():
    writers = {(workflow, name) for workflow, name, job in JOBS
               if "write" in job.get("permissions", {}).get("contents", "")}  # fmt: skip
    assert writers == {("pages", "notebooks")}


@every_job
def test_a_checkout_leaves_no_key_behind(workflow, job):
    checkouts = [step for step in job["steps"] if "checkout@" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] == "false" for step in checkouts)


@every_job
def test_a_job_ends(workflow, job):
    assert 1 <= int(job["timeout-minutes"]) <= 60


# The release


def release() -> dict:
    return read(ROOT / ".github" / "workflows" / "release.yml")


def test_a_release_is_off_until_the_owner_turns_it_on():
    assert release()["on"] == {"push": {"tags": ["v*"]}}
    publish = release()["jobs"]["publish"]
    assert publish["if"] == "vars.RELEASE_TO_PYPI == 'true'"
    assert publish["needs"] == "build"
    assert publish["environment"] == "pypi"
    assert publish["permissions"] == {"id-token": "write"}


def test_the_tag_is_the_version():
    """The step itself, as the runner would start it."""
    (step,) = (s for s in release()["jobs"]["build"]["steps"] if "tag" in s.get("name", ""))

    def answer(tag: str) -> subprocess.CompletedProcess:
        command = [shutil.which("bash"), "-e", "-c", step["run"]]
        variables = os.environ | {"GITHUB_REF_NAME": tag}
        return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)

    assert answer(f"v{rope_lib.__version__}").returncode == 0
    for tag in (rope_lib.__version__, "v9.9.9", f"v{rope_lib.__version__}.1"):
        wrong = answer(tag)
        assert wrong.returncode == 1
        assert wrong.stderr.strip() == f"the tag is {tag}, but rope_lib is {rope_lib.__version__}"


def test_the_pins_move():
    config = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    ways = {each["package-ecosystem"]: each["schedule"]["interval"] for each in config["updates"]}
    assert ways == {"github-actions": "weekly"}
