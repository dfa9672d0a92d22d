"""uv in the place of pip: it reads the same files, and its `sync` does no harm. No network."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def uv(*arguments: object, folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "uv", "--offline", "--no-cache", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_uv_reads_the_requirements_as_pip_does(tmp_path):
    """What pip has installed is what uv would have chosen. (`-e .` would have to be built.)"""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    others = [line for line in lines if not line.startswith("-e .")]
    assert len(others) == len(lines) - 1
    (tmp_path / "others.txt").write_text("\n".join(others), encoding="utf-8")
    constraints = os.environ.get("CONSTRAINTS", "constraints.txt")  # as in tools/environment.sh
    limits = ["-c", ROOT / constraints] if constraints else []
    options = ["--dry-run", "--python", sys.executable]
    done = uv("pip", "install", *options, "-r", "others.txt", *limits, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Would make no changes" in done.stderr, done.stderr


def test_uv_sync_leaves_the_environment_alone(tmp_path):
    """It would bring `.venv` to what pyproject.toml says: a library without its book."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    done = uv("sync", folder=tmp_path)
    assert done.returncode != 0
    assert "project is marked as unmanaged" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
