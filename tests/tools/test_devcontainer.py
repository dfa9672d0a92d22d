"""The container of Codespaces: what it is told to do can be done here, too."""

import json
import re
from pathlib import Path

from pdf import BROWSERS

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))


def test_its_python_is_one_that_is_tested():
    image, python = re.fullmatch(r"(.+):\d+-(3\.\d+)-[a-z]+", CONTAINER["image"]).groups()
    assert image == "mcr.microsoft.com/devcontainers/python"
    assert f'"{python}"' in (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")


def test_it_installs_a_browser_that_the_tests_find():
    (installed,) = re.findall(r"apt-get install (.*)", CONTAINER["onCreateCommand"])
    assert set(installed.split()) & set(BROWSERS)


def test_its_last_command_makes_the_environment():
    target = CONTAINER["postCreateCommand"].removeprefix("make ")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.*\n\t@sh tools/environment\.sh$", makefile, re.MULTILINE)
