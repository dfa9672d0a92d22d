"""Translations of one file of the book, kept as a PO file beside others of its language.

An entry is named by its context and keeps as ``msgid`` the text that was translated. So a text that
has changed since is seen: its entry no longer fits. ``update`` then marks it as fuzzy, with the old
text beside the new one, as PO tools do.
"""

from dataclasses import dataclass, field
from pathlib import Path

import polib

from .units import PROMPTS, WORDS, Unit

BY_TEXT = (WORDS, PROMPTS)  # contexts that many entries share: there the text is the name


@dataclass
class State:
    """What a catalogue lacks: contexts, or texts where the context does not name one."""

    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale or self.unused)


def read(path: Path) -> polib.POFile:
    """The catalogue at ``path``, or an empty one."""
    catalogue = polib.pofile(str(path), wrapwidth=0) if path.exists() else polib.POFile(wrapwidth=0)
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8", "Language": language(path)}
    return catalogue


def language(path: Path) -> str:
    """The folder below ``locale`` that a catalogue stands in."""
    parts = path.parts
    return parts[parts.index("locale") + 1] if "locale" in parts else ""


def state(catalogue: polib.POFile, units: list[Unit]) -> State:
    """Which units have no translation, which had another text when they were translated."""
    found, entries = State(), _by_unit(catalogue)
    contexts = {entry.msgctxt for entry in catalogue}
    for unit in units:
        entry, name = entries.pop(unit, None), _name(unit)
        if entry is None and unit.context in contexts and unit.context not in BY_TEXT:
            found.stale.append(name)
        elif entry is None or not entry.msgstr:
            found.missing.append(name)
        elif entry.fuzzy:
            found.stale.append(name)
    wanted = {unit.context for unit in units}
    found.unused = [
        _name(unit) for unit in entries if unit.context in BY_TEXT or unit.context not in wanted
    ]
    return found


def update(catalogue: polib.POFile, units: list[Unit]) -> polib.POFile:
    """A catalogue of just these units: what was translated is kept, what has changed is fuzzy."""
    entries = _by_unit(catalogue)
    by_context = {entry.msgctxt: entry for entry in catalogue if entry.msgctxt not in BY_TEXT}
    made = polib.POFile(wrapwidth=0)
    made.metadata = catalogue.metadata
    for unit in units:
        entry = entries.get(unit) or by_context.get(unit.context)
        if entry is None:
            entry = polib.POEntry(msgctxt=unit.context, msgid=unit.source)
        elif entry.msgid != unit.source:
            if entry.msgstr and not entry.fuzzy:
                entry.previous_msgid = entry.msgid
                entry.flags.append("fuzzy")
            entry.msgid = unit.source
        made.append(entry)
    return made


def translations(catalogue: polib.POFile) -> dict[Unit, str]:
    """What each unit is in the language of the catalogue, if that is finished."""
    return {
        unit: entry.msgstr
        for unit, entry in _by_unit(catalogue).items()
        if entry.msgstr and not entry.fuzzy
    }


def _by_unit(catalogue: polib.POFile) -> dict[Unit, polib.POEntry]:
    return {Unit(entry.msgctxt, entry.msgid): entry for entry in catalogue if not entry.obsolete}


def _name(unit: Unit) -> str:
    return unit.source if unit.context in BY_TEXT else unit.context
