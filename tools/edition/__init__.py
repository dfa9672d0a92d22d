"""Editions of the book in other languages, from the same notebooks and pages.

``units`` cuts a notebook or page into what is translated at once, ``catalogue`` keeps translations
as PO files with the text that each was made from, ``checks`` compares the two, and ``tree`` writes
the sources of an edition. ``tools/translate.py`` is their command.
"""
