"""RE2's pattern syntax, less Unicode classes, to a tree (https://github.com/google/re2/wiki/Syntax).

Captures and greediness are accepted and dropped: only whether there is a match is ever asked.
"""

import re
from typing import Final, final

from tallyman.cel import re2_classes as classes
from tallyman.cel.re2_classes import Ranges

MAX_PATTERN: Final = 4096
MAX_NESTING: Final = 100
MAX_REPEAT: Final = 1000

# Assertions about a place between two characters.
BEGIN_TEXT: Final = 1
END_TEXT: Final = 2
BEGIN_LINE: Final = 4
END_LINE: Final = 8
WORD_BOUNDARY: Final = 16
NOT_WORD_BOUNDARY: Final = 32

# Compiled by `re` at first use, like those of `times`.
_REPEAT: Final = r"\{([0-9]{1,9})(,([0-9]{1,9})?)?\}"
_GROUP: Final = r"\(\?P?<\w+>"
_FLAGS: Final = r"\(\?([imsU]*)(-[imsU]+)?([:)])"
_POSIX: Final = r"\[:(\^?)([a-z]+):\]"
_HEX: Final = r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})"
_OCTAL: Final = r"\\([1-7][0-7]{1,2}|0[0-7]{0,2})"
_CONTROLS: Final = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}


class PatternError(ValueError):
    """A pattern that RE2 would refuse, or one beyond what is supported here; says where."""


class Piece:
    """A part of a pattern. `repeats` is the product of the counts nested in it."""

    def __init__(self, repeats: int) -> None:
        self.repeats = repeats


@final
class Chars(Piece):
    """One character out of a set."""

    def __init__(self, ranges: Ranges) -> None:
        super().__init__(1)
        self.ranges = ranges


@final
class Assertion(Piece):
    def __init__(self, kind: int) -> None:
        super().__init__(1)
        self.kind = kind


@final
class Sequence(Piece):
    def __init__(self, pieces: list[Piece]) -> None:
        super().__init__(max([piece.repeats for piece in pieces], default=1))
        self.pieces = pieces


@final
class Alternation(Piece):
    def __init__(self, branches: list[Piece]) -> None:
        super().__init__(max([branch.repeats for branch in branches], default=1))
        self.branches = branches


@final
class Repeat(Piece):
    """`maximum` is -1 for any number of times."""

    def __init__(self, piece: Piece, minimum: int, maximum: int, counted: bool) -> None:
        super().__init__(piece.repeats * max(1, minimum, maximum) if counted else piece.repeats)
        self.piece = piece
        self.minimum = minimum
        self.maximum = maximum


def parse(pattern: str, foldable: int) -> Piece:
    """The tree of `pattern`, which may ask for the case of `foldable` characters to be folded. Raises PatternError."""
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"pattern of {len(pattern)} characters, at most {MAX_PATTERN} are allowed")
    return _Parser(pattern, foldable).parse()


@final
class _Parser:
    def __init__(self, pattern: str, foldable: int) -> None:
        self.pattern = pattern
        self.foldable = foldable
        self.end = len(pattern)
        self.position = 0
        self.nesting = 0
        self.fold = False
        self.multi_line = False
        self.dot_newline = False

    def parse(self) -> Piece:
        piece = self._alternation()
        if self.position < self.end:
            raise self._error("unexpected )")
        return piece

    def _alternation(self) -> Piece:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self._error(f"groups are nested more than {MAX_NESTING} levels deep")
        branches: list[Piece] = [self._sequence()]
        while self._next() == "|":
            self.position += 1
            branches.append(self._sequence())
        self.nesting -= 1
        return branches[0] if len(branches) == 1 else Alternation(branches)

    def _sequence(self) -> Piece:
        pieces: list[Piece] = []
        repeated = False
        while self.position < self.end:
            character = self.pattern[self.position]
            if character == "|" or character == ")":
                break
            counts = self._repetition(character)
            if counts is not None:
                if not pieces or repeated:
                    what = "no argument for" if not pieces else "bad"
                    raise self._error(f"{what} repetition operator {character}")
                minimum, maximum, counted = counts
                repeat = Repeat(pieces.pop(), minimum, maximum, counted)
                if repeat.repeats > MAX_REPEAT:
                    raise self._error(f"repeated more than {MAX_REPEAT} times")
                pieces.append(repeat)
                repeated = True
                if self._next() == "?":
                    self.position += 1
                continue
            repeated = False
            self._atom(character, pieces)
        return pieces[0] if len(pieces) == 1 else Sequence(pieces)

    def _repetition(self, character: str) -> tuple[int, int, bool] | None:
        """Minimum, maximum and whether counted, of the repetition operator here, which is consumed; else None."""
        if character == "*":
            self.position += 1
            return 0, -1, False
        if character == "+":
            self.position += 1
            return 1, -1, False
        if character == "?":
            self.position += 1
            return 0, 1, False
        if character != "{":
            return None
        match = self._match(_REPEAT)
        if match is None:
            return None
        minimum = int(match.group(1))
        maximum = minimum
        if match.group(2) is not None:
            maximum = int(match.group(3)) if match.group(3) is not None else -1
        if minimum > MAX_REPEAT or maximum > MAX_REPEAT or (0 <= maximum < minimum):
            raise self._error(f"bad repetition {match.group()}")
        self.position = match.end()
        return minimum, maximum, True

    def _atom(self, character: str, pieces: list[Piece]) -> None:
        if character == "(":
            self._group(pieces)
        elif character == "[":
            pieces.append(Chars(self._class()))
        elif character == "\\":
            self._escaped_atom(pieces)
        else:
            self.position += 1
            if character == ".":
                pieces.append(Chars(classes.negated([] if self.dot_newline else [(10, 10)])))
            elif character == "^":
                pieces.append(Assertion(BEGIN_LINE if self.multi_line else BEGIN_TEXT))
            elif character == "$":
                pieces.append(Assertion(END_LINE if self.multi_line else END_TEXT))
            else:
                pieces.append(self._literal(ord(character)))

    def _literal(self, code: int) -> Piece:
        return Chars(self._case([(code, code)]))

    def _group(self, pieces: list[Piece]) -> None:
        fold, multi_line, dot_newline = self.fold, self.multi_line, self.dot_newline
        opening = self.position
        if not self.pattern.startswith("(?", self.position):
            self.position += 1
        else:
            named = self._match(_GROUP)
            if named is not None:
                self.position = named.end()
            else:
                flags = self._match(_FLAGS)
                if flags is None:
                    raise self._error("unknown group; RE2 has no look-around and no references")
                self._set_flags(flags.group(1), True)
                self._set_flags((flags.group(2) or "")[1:], False)
                self.position = flags.end()
                if flags.group(3) == ")":
                    # (?i) holds to the end of the group that encloses it.
                    return
        pieces.append(self._alternation())
        if self._next() != ")":
            self.position = opening
            raise self._error("missing closing )")
        self.position += 1
        self.fold, self.multi_line, self.dot_newline = fold, multi_line, dot_newline

    def _set_flags(self, flags: str, value: bool) -> None:
        for flag in flags:
            if flag == "i":
                self.fold = value
            elif flag == "m":
                self.multi_line = value
            elif flag == "s":
                self.dot_newline = value

    def _escaped_atom(self, pieces: list[Piece]) -> None:
        letter = self.pattern[self.position + 1 : self.position + 2]
        if letter == "A":
            pieces.append(Assertion(BEGIN_TEXT))
        elif letter == "z":
            pieces.append(Assertion(END_TEXT))
        elif letter == "b":
            pieces.append(Assertion(WORD_BOUNDARY))
        elif letter == "B":
            pieces.append(Assertion(NOT_WORD_BOUNDARY))
        elif letter == "Q":
            stop = self.pattern.find("\\E", self.position + 2)
            text = self.pattern[self.position + 2 : stop if stop >= 0 else self.end]
            for character in text:
                pieces.append(self._literal(ord(character)))
            self.position = stop + 2 if stop >= 0 else self.end
            return
        else:
            perl = self._perl_class()
            pieces.append(Chars(perl) if perl is not None else self._literal(self._escaped_code()))
            return
        self.position += 2

    def _perl_class(self) -> Ranges | None:
        letter = self.pattern[self.position + 1 : self.position + 2]
        if letter.lower() not in classes.PERL:
            return None
        self.position += 2
        ranges = self._case(classes.PERL[letter.lower()])
        return classes.negated(ranges) if letter.isupper() else ranges

    def _case(self, ranges: Ranges) -> Ranges:
        if not self.fold:
            return ranges
        self.foldable -= classes.folding_steps(ranges)
        if self.foldable < 0:
            raise self._error("pattern is too large: too many characters to fold the case of")
        return classes.folded(ranges)

    def _escaped_code(self) -> int:
        letter = self.pattern[self.position + 1 : self.position + 2]
        if letter == "":
            raise self._error("trailing \\")
        if letter in _CONTROLS:
            self.position += 2
            return _CONTROLS[letter]
        match = self._match(_HEX)
        if match is not None:
            code = int(match.group(1) or match.group(2), 16)
        else:
            match = self._match(_OCTAL)
            if match is None:
                if letter in "pP":
                    raise self._error("Unicode classes (\\p) are not supported")
                if letter < "\x80" and not letter.isalnum():
                    self.position += 2
                    return ord(letter)
                raise self._error(f"bad escape \\{letter}")
            code = int(match.group(1), 8)
        if code > classes.MAX_CODE:
            raise self._error("character beyond U+10FFFF")
        self.position = match.end()
        return code

    def _class(self) -> Ranges:
        opening = self.position
        self.position += 1
        negative = self._next() == "^"
        if negative:
            self.position += 1
        ranges: Ranges = []
        first = True
        while first or self._next() != "]":
            if self.position >= self.end:
                self.position = opening
                raise self._error("missing closing ]")
            first = False
            self._class_item(ranges)
        self.position += 1
        return classes.negated(ranges) if negative else classes.normalized(ranges)

    def _class_item(self, ranges: Ranges) -> None:
        if self.pattern.startswith("[:", self.position):
            posix = self._match(_POSIX)
            if posix is not None:
                if posix.group(2) not in classes.POSIX:
                    raise self._error(f"unknown class {posix.group()}")
                self.position = posix.end()
                named = self._case(classes.POSIX[posix.group(2)])
                ranges.extend(classes.negated(named) if posix.group(1) else named)
                return
            if self.pattern.find(":]", self.position + 2) >= 0:
                raise self._error("unknown [: class")
        if self._next() == "\\":
            perl = self._perl_class()
            if perl is not None:
                ranges.extend(perl)
                return
        low = self._class_code()
        high = low
        following = self.pattern[self.position + 1 : self.position + 2]
        if self._next() == "-" and following not in ("]", ""):
            self.position += 1
            high = self._class_code()
            if high < low:
                raise self._error("bad range in character class")
        ranges.extend(self._case([(low, high)]))

    def _class_code(self) -> int:
        if self._next() == "\\":
            return self._escaped_code()
        if self.position >= self.end:
            raise self._error("missing closing ]")
        self.position += 1
        return ord(self.pattern[self.position - 1])

    def _match(self, expression: str) -> re.Match[str] | None:
        return re.compile(expression).match(self.pattern, self.position)

    def _next(self) -> str:
        return self.pattern[self.position] if self.position < self.end else ""

    def _error(self, message: str) -> PatternError:
        return PatternError(f"{message} (at offset {self.position})")
