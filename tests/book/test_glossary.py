"""The glossary: in order, nothing twice, and every entry says something."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "book" / "glossary.md").read_text("utf-8")
ENTRIES = re.findall(r"^(\S.*)\n((?:  .+\n)+)", TEXT.partition("```{glossary}\n")[2], re.MULTILINE)


def test_entries_are_in_the_order_of_the_alphabet():
    terms = [re.sub(r" \(.*", "", term).casefold() for term, _ in ENTRIES]
    assert len(terms) > 80
    assert terms == sorted(set(terms))


def test_every_entry_is_a_sentence():
    for term, meaning in ENTRIES:
        assert meaning.strip()[0].isupper() or meaning.strip()[0] in "$0123456789", term
        assert meaning.rstrip().endswith("."), term
