"""What a translation has in common with its original: numbers, formulas, links, code, form."""

import re
from collections import Counter

FENCED = re.compile(r"^(`{3,})([^\n]*)\n.*?^\1 *$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)|<code>(.*?)</code>")
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$]+?)\$", re.DOTALL)
TEXT_IN_FORMULA = re.compile(r"\\(?:text|textbf|mathrm|operatorname)\{[^{}]*\}")
TARGET = re.compile(
    r"\]\(([^)\s]+)\)|<(https?://[^>\s]+)>|(?:href|src)=\"([^\"]+)\"|(https?://[^\s)\"<>]+)"
)
ROLE = re.compile(r"\{([a-z:]+)\}`([^`]+)`")
DIRECTIVE = re.compile(r"^[`:]{3,}\{([a-z_:-]+)\}.*$|^(\{#[\w-]+\})\s*$", re.MULTILINE)
NUMBER = re.compile(r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")
SCALES = {
    "thousand": 1e3, "K": 1e3, "k": 1e3, "千": 1e3, "million": 1e6, "M": 1e6, "billion": 1e9,
    "B": 1e9, "trillion": 1e12, "T": 1e12, "万": 1e4, "百万": 1e6, "千万": 1e7,
    "亿": 1e8, "万亿": 1e12,
}  # fmt: skip
SCALED = re.compile(
    rf"({NUMBER.pattern})[ \u00a0]?({'|'.join(sorted(SCALES, key=len, reverse=True))})(?![A-Za-z])"
)


def differences(source: str, target: str, terms: dict[str, list[str]]) -> list[str]:
    """What of the original the translation lacks or has too often, in words; empty if all is there.

    Args:
        terms: for a term of the original, the forms of which the translation must have one.
    """
    if len(source.split()) == 1 and source == target:
        return []
    found = []
    for name, pick in (
        ("block of code", blocks), ("formula", formulas), ("link", links), ("code", codes),
        ("role", roles), ("directive", directives), ("heading", heading_levels), ("tag", tags),
    ):  # fmt: skip
        before, after = pick(source), pick(target)
        found += [f"{name} missing: {each}" for each in (before - after).elements()]
        found += [f"{name} added: {each}" for each in (after - before).elements()]
    found += [f"number missing: {each}" for each in missing_numbers(source, target)]
    text = " ".join(_sentences(source).lower().split())
    for term, forms in terms.items():
        if re.search(rf"\b{term}", text) and not any(form in target for form in forms):
            found.append(f"term missing: {term} ({', '.join(forms)})")
    return found


def blocks(text: str) -> Counter:
    """Blocks of code; what a directive holds is text."""
    found = FENCED.finditer(text)
    return Counter(match[0].strip() for match in found if not match[2].startswith("{"))


def without_blocks(text: str) -> str:
    """Without code, and without HTML that stands in the page as it is."""

    def kept(match: re.Match) -> str:
        return match[0] if match[2].startswith("{") and "{raw}" not in match[2] else ""

    return FENCED.sub(kept, text)


def formulas(text: str) -> Counter:
    """Formulas without their spaces, and without the words in them."""
    found = FORMULA.findall(CODE.sub("", without_blocks(text)))
    return Counter(re.sub(r"\s+", "", TEXT_IN_FORMULA.sub(r"\\text", a or b)) for a, b in found)


def links(text: str) -> Counter:
    return Counter(next(filter(None, match)) for match in TARGET.findall(without_blocks(text)))


def codes(text: str) -> Counter:
    found = CODE.findall(ROLE.sub("", without_blocks(text)))
    return Counter(" ".join((a or b).split()) for a, b in found)


def roles(text: str) -> Counter:
    """Roles with their targets; the words of a link may be translated."""
    pairs = ROLE.findall(without_blocks(text))
    return Counter((role, re.sub(r"^.*<(.+)>$", r"\1", " ".join(to.split()))) for role, to in pairs)


def directives(text: str) -> Counter:
    return Counter(a or b for a, b in DIRECTIVE.findall(text))


def heading_levels(text: str) -> Counter:
    return Counter(re.findall(r"^(#{1,6}) ", without_blocks(text), re.MULTILINE))


def tags(text: str) -> Counter:
    return Counter(
        re.findall(r"<(/?(?:details|summary|div|p|br|img|table|tr|td|svg))\b", without_blocks(text))
    )


def missing_numbers(source: str, target: str) -> list[str]:
    """Numbers of the original's sentences that the translation's do not give, in whatever unit."""
    have = Counter(_values(target))
    absent = []
    for text, value in _numbers(source):
        if have[value]:
            have[value] -= 1
        elif have[float(text.replace(",", ""))]:
            have[float(text.replace(",", ""))] -= 1
        else:
            absent.append(text)
    return absent


def _sentences(text: str) -> str:
    text = re.sub(r"&#?\w+;", " ", without_blocks(text))
    for pattern in (FORMULA, ROLE, CODE):
        text = pattern.sub(" ", text)
    return TARGET.sub(" ", text)


def _numbers(text: str) -> list[tuple[str, float]]:
    """Each number as it is written, and its value: 1.5 million is 1,500,000."""
    text = _sentences(text)
    scaled = {match.start(): SCALES[match[2]] for match in SCALED.finditer(text)}
    return [
        (match[0], float(match[0].replace(",", "")) * scaled.get(match.start(), 1))
        for match in NUMBER.finditer(text)
    ]


def _values(text: str) -> list[float]:
    """Every value that the text gives, scaled and as written."""
    return [value for written, scaled in _numbers(text)
            for value in {float(written.replace(",", "")), scaled}]  # fmt: skip
