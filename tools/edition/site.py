"""The words of the site that stand in no page: titles, captions, descriptions, what buttons say."""

import json
import tomllib
from pathlib import Path

import yaml

from .units import Unit

CONFIG = ("search_bar_text", "toc_title")  # of html_theme_options
PROMPTS = ("nb_code_prompt_show", "nb_code_prompt_hide")
SHARED = ("answers", "picture")  # of sharing.toml, for many pages
CODES = {"zh": "zh_CN"}  # what Sphinx calls the language of an edition


def site_units(root: Path) -> list[Unit]:
    """What of the configuration, the table of contents and the descriptions people read."""
    config = _read_yaml(root / "_config.yml")
    options = config["sphinx"]["config"]
    theme = options["html_theme_options"]
    found = [Unit("title", config["title"]), Unit("copyright", config["copyright"])]
    found += [Unit(name, theme[name]) for name in CONFIG]
    found += [Unit(name, options[name]) for name in PROMPTS]
    for entry in _toc_entries(_read_yaml(root / "_toc.yml")):
        found += [
            Unit(f"toc {entry[key]}", entry[key]) for key in ("caption", "title") if key in entry
        ]
    sharing = tomllib.loads((root / "book/sharing.toml").read_text(encoding="utf-8"))
    found += [Unit(name, sharing[name]) for name in SHARED]
    found += [
        Unit(f"description {page}", said["description"]) for page, said in sharing["pages"].items()
    ]
    return found


def config_in(root: Path, language: str, words: dict[Unit, str]) -> str:
    """`_config.yml` of an edition."""
    config = _read_yaml(root / "_config.yml")
    said = {unit.context: text for unit, text in words.items()}
    options = config["sphinx"]["config"]
    theme = options["html_theme_options"]
    config["title"] = options["project"] = theme["logo"]["text"] = said["title"]
    config["copyright"] = said["copyright"]
    theme.update({name: said[name] for name in CONFIG})
    options.update({name: said[name] for name in PROMPTS})
    options["language"] = CODES[language]
    options["html_search_language"] = language
    options["edition"] = language
    options["myst_heading_slug_func"] = "anchors.slug"
    if config["html"]["baseurl"]:
        config["html"]["baseurl"] += f"{language}/"
        config["html"]["use_edit_page_button"] = (
            False  # its pages are written by tools/translate.py
        )
        config["repository"]["path_to_book"] = language
    return yaml.safe_dump(config, allow_unicode=True, sort_keys=False)


def toc_in(root: Path, words: dict[Unit, str]) -> str:
    """`_toc.yml` of an edition."""
    toc = _read_yaml(root / "_toc.yml")
    for entry in _toc_entries(toc):
        for key in ("caption", "title"):
            if key in entry:
                entry[key] = words.get(Unit(f"toc {entry[key]}", entry[key]), entry[key])
    return yaml.safe_dump(toc, allow_unicode=True, sort_keys=False)


def sharing_in(root: Path, words: dict[Unit, str]) -> str:
    """`sharing.toml` of an edition."""
    text = (root / "book/sharing.toml").read_text(encoding="utf-8")
    for unit, said in words.items():
        if unit.context in SHARED or unit.context.startswith("description "):
            text = text.replace(f'"{unit.source}"', json.dumps(said, ensure_ascii=False))
    return text


def _read_yaml(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _toc_entries(toc: dict):
    """Every part, chapter and section of the table of contents."""
    for part in toc["parts"]:
        yield part
        for chapter in part["chapters"]:
            yield chapter
            yield from chapter.get("sections", [])
