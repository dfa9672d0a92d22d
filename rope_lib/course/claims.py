"""What became of the article's claims: the verdicts of the book's ledger, for a chapter to count.

The ledger itself is ``book/claims.toml``, which an installed library does not carry.
``tests/course/test_claims.py`` keeps the two equal.
"""

HOLDS = "holds"
CONDITION = "holds, with a condition"
SIMPLE = "too simple"
REFUTED = "does not hold"
OPEN = "open"

#: In the order of the ledger, from best to worst.
ALL = (HOLDS, CONDITION, SIMPLE, REFUTED, OPEN)

#: The colour of a verdict, as a background for dark letters.
COLORS = dict(zip(ALL, ("#009E73", "#56B4E9", "#F0C75E", "#E58A4E", "#D9D9D9"), strict=True))

#: The verdict on each claim, by its number.
VERDICTS = {
    1: CONDITION,
    2: SIMPLE,
    3: SIMPLE,
    4: CONDITION,
    5: REFUTED,
    6: REFUTED,
    7: REFUTED,
    8: CONDITION,
    9: HOLDS,
    10: OPEN,
    11: OPEN,
    12: CONDITION,
    13: OPEN,
    14: HOLDS,
}
