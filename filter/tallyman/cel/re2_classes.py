"""Sets of characters for RE2 patterns: sorted, disjoint, inclusive ranges of code points."""

from typing import Final

Ranges = list[tuple[int, int]]

MAX_CODE: Final = 0x10FFFF

DIGIT: Final[Ranges] = [(0x30, 0x39)]
SPACE: Final[Ranges] = [(0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)]
WORD: Final[Ranges] = [(0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]

PERL: Final[dict[str, Ranges]] = {"d": DIGIT, "s": SPACE, "w": WORD}
POSIX: Final[dict[str, Ranges]] = {
    "alnum": [(0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)],
    "alpha": [(0x41, 0x5A), (0x61, 0x7A)],
    "ascii": [(0x00, 0x7F)],
    "blank": [(0x09, 0x09), (0x20, 0x20)],
    "cntrl": [(0x00, 0x1F), (0x7F, 0x7F)],
    "digit": DIGIT,
    "graph": [(0x21, 0x7E)],
    "lower": [(0x61, 0x7A)],
    "print": [(0x20, 0x7E)],
    "punct": [(0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)],
    "space": [(0x09, 0x0D), (0x20, 0x20)],
    "upper": [(0x41, 0x5A)],
    "word": WORD,
    "xdigit": [(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
}

# Above this no letter has a case (Unicode 15: the last are Adlam's, U+1E900 to U+1E943).
_LAST_CASED: Final = 0x1E943
# Its upper case is I, but only Turkish holds the two alike.
_DOTLESS_I: Final = 0x131


def normalized(ranges: Ranges) -> Ranges:
    """The same set, sorted, with what overlaps or touches joined."""
    result: Ranges = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            if high > result[-1][1]:
                result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result


def negated(ranges: Ranges) -> Ranges:
    """Every character that is not in the set."""
    result: Ranges = []
    start = 0
    for low, high in normalized(ranges):
        if low > start:
            result.append((start, low - 1))
        start = high + 1
    if start <= MAX_CODE:
        result.append((start, MAX_CODE))
    return result


def folding_steps(ranges: Ranges) -> int:
    """How many characters `folded` has to look at."""
    steps = 0
    for low, high in ranges:
        steps += max(0, min(high, _LAST_CASED) - low + 1)
    return steps


def folded(ranges: Ranges) -> Ranges:
    """The set and every character that differs from one in it by case only."""
    result = list(ranges)
    for low, high in normalized(ranges):
        for code in range(low, min(high, _LAST_CASED) + 1):
            for other in _same_but_for_case(code):
                result.append((other, other))
    return normalized(result)


def _same_but_for_case(code: int) -> set[int]:
    if code < 0x80:
        character = chr(code)
        if not character.isalpha():
            return set()
        others = {ord(character.lower()), ord(character.upper())}
        if code in (0x4B, 0x6B):
            others.add(0x212A)  # KELVIN SIGN
        elif code in (0x53, 0x73):
            others.add(0x17F)  # LATIN SMALL LETTER LONG S
        return others
    if code == _DOTLESS_I:
        return set()
    pending = [chr(code)]
    found = {code}
    while pending:
        character = pending.pop()
        variants = [character.lower(), character.upper(), character.title()]
        variants.extend(_ORBITS.get(character, ""))
        for variant in variants:
            if len(variant) == 1 and ord(variant) not in found:
                found.add(ord(variant))
                pending.append(variant)
    return found


# Characters whose other case is that of another character, so that no case mapping leads back to them (Unicode 15).
_ONE_WAY: Final = (
    "\u00b5\u017f\u01c5\u01c8\u01cb\u01f2\u0345\u03c2\u03d0\u03d1\u03d5\u03d6\u03f0\u03f1\u03f4"
    "\u03f5\u1c80\u1c81\u1c82\u1c83\u1c84\u1c85\u1c86\u1c87\u1c88\u1e9b\u1e9e\u1fbe\u2126\u212a\u212b"
)


def _orbits() -> dict[str, str]:
    """From a character to those that only have it as their upper or lower case: from s to the long s, and so on."""
    orbits: dict[str, str] = {}
    for character in _ONE_WAY:
        for image in (character.lower(), character.upper()):
            if len(image) == 1 and image != character:
                orbits[image] = orbits.get(image, "") + character
    return orbits


_ORBITS: Final = _orbits()
