"""The few places of a page that name an address in a published copy (tools/stamps.toml).

Catalogues translate the tree as it is without an address. So a published page is taken back to that
text first, and its translation is then given the address.
"""

import re
import tomllib
from pathlib import Path
from string import Template


def stamps_of(root: Path, page: Path) -> list[dict]:
    """The stamps of a page: what it says here and there, in each language."""
    text = (root / "tools/stamps.toml").read_text(encoding="utf-8")
    return [each for each in tomllib.loads(text)["stamp"] if each["file"] == page.as_posix()]


def unstamped(text: str, stamps: list[dict]) -> tuple[str, dict[str, str] | None]:
    """The page as it is in the tree, and the words of the address, None if it is not published."""
    if all(stamp["here"] in text for stamp in stamps):
        return text, None
    address = {}
    for stamp in stamps:
        if found := re.search(_pattern(stamp["there"]), text):
            address |= found.groupdict()
            text = text.replace(found[0], stamp["here"], 1)
    return text, address


def restamped(text: str, stamps: list[dict], language: str, address: dict[str, str] | None) -> str:
    """A translated page with the address.

    Raises:
        ValueError: a place of the original does not stand exactly once in the translation.
    """
    if address is None:
        return text
    for stamp in stamps:
        here, there = (stamp[language][side] if language in stamp else stamp[side]
                       for side in ("here", "there"))  # fmt: skip
        if text.count(here) != 1:
            raise ValueError(
                f"{stamp['file']} in {language} says this {text.count(here)} times: {here!r}"
            )
        text = text.replace(here, Template(there).safe_substitute(address))
    return text


def _pattern(there: str) -> str:
    """A regular expression for the text of a template, with its words as groups."""
    pattern, seen = re.escape(there), set()
    for name in re.findall(r"\\\$(\w+)", pattern):
        group = f"(?P={name})" if name in seen else rf"(?P<{name}>[^\s<>{{}}]+?)"
        pattern = pattern.replace(rf"\${name}", group, 1)
        seen.add(name)
    return pattern
