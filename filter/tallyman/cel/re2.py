"""Whether an RE2 pattern matches, in time linear in the text: a Thompson NFA run as a DFA that is built as it goes.

Requests are hostile, and Python's `re` backtracks. A character costs one table look-up in a state that was met before,
and at most one pass over the program in a new one; the table is bounded and starts anew when it is full.
"""

from typing import Final, final

from tallyman.cel.re2_classes import MAX_CODE, WORD, Ranges
from tallyman.cel.re2_syntax import (
    BEGIN_LINE,
    BEGIN_TEXT,
    END_LINE,
    END_TEXT,
    NOT_WORD_BOUNDARY,
    WORD_BOUNDARY,
    Alternation,
    Assertion,
    Chars,
    PatternError,
    Piece,
    Repeat,
    Sequence,
    parse,
)

__all__ = ["MAX_DYNAMIC_PROGRAM", "MAX_PROGRAM", "Pattern", "PatternError"]

# In instructions. A pattern that comes with a request gets less than one from the configuration.
MAX_PROGRAM: Final = 10000
MAX_DYNAMIC_PROGRAM: Final = 500

# Of all states of a pattern together, before they are dropped: at most some 300 KB in the VM.
_MAX_TRANSITIONS: Final = 32_768
_MAX_STATE_MEMBERS: Final = 32_768

# Folding the case of a set takes a step for every character in it.
_FOLDED_PER_INSTRUCTION: Final = 16

_CHARS: Final = 0  # one character of set `first`, then the next instruction
_SPLIT: Final = 1  # go on at `first` and at `second`
_JUMP: Final = 2
_ASSERT: Final = 3  # go on at the next instruction if assertion `first` holds
_MATCH: Final = 4

# What lies to the left of the place where the machine stands.
_AT_BEGIN: Final = 1
_AFTER_NEWLINE: Final = 2
_AFTER_WORD: Final = 4

_UNKNOWN: Final = -1
_ACCEPT: Final = -2
_REJECT: Final = -3


@final
class _Program:
    """The instructions, in parallel lists, and the distinct sets of characters they use."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.codes: list[int] = []
        self.first: list[int] = []
        self.second: list[int] = []
        self.sets: list[Ranges] = []
        self.assertions = 0

    def emit(self, code: int, first: int, second: int) -> int:
        address = len(self.codes)
        if address >= self.limit:
            raise PatternError(f"pattern is too large: it needs more than {self.limit} instructions")
        self.codes.append(code)
        self.first.append(first)
        self.second.append(second)
        return address

    def add(self, piece: Piece) -> None:
        if isinstance(piece, Chars):
            self.emit(_CHARS, self._set(piece.ranges), 0)
        elif isinstance(piece, Sequence):
            for part in piece.pieces:
                self.add(part)
        elif isinstance(piece, Alternation):
            self._add_alternation(piece.branches)
        elif isinstance(piece, Repeat):
            self._add_repeat(piece)
        elif isinstance(piece, Assertion):
            self.assertions |= piece.kind
            self.emit(_ASSERT, piece.kind, 0)

    def _add_alternation(self, branches: list[Piece]) -> None:
        jumps: list[int] = []
        last = len(branches) - 1
        for index in range(last):
            split = self.emit(_SPLIT, len(self.codes) + 1, 0)
            self.add(branches[index])
            jumps.append(self.emit(_JUMP, 0, 0))
            self.second[split] = len(self.codes)
        self.add(branches[last])
        for jump in jumps:
            self.first[jump] = len(self.codes)

    def _add_repeat(self, repeat: Repeat) -> None:
        for _ in range(repeat.minimum):
            self.add(repeat.piece)
        if repeat.maximum < 0:
            split = self.emit(_SPLIT, len(self.codes) + 1, 0)
            self.add(repeat.piece)
            self.emit(_JUMP, split, 0)
            self.second[split] = len(self.codes)
            return
        splits: list[int] = []
        for _ in range(repeat.maximum - repeat.minimum):
            splits.append(self.emit(_SPLIT, len(self.codes) + 1, 0))
            self.add(repeat.piece)
        for split in splits:
            self.second[split] = len(self.codes)

    def _set(self, ranges: Ranges) -> int:
        for index in range(len(self.sets)):
            if self.sets[index] == ranges:
                return index
        self.sets.append(ranges)
        return len(self.sets) - 1


@final
class _Alphabet:
    """Characters that no set of the program tells apart share a class; the class after the last stands for the end."""

    def __init__(self, program: _Program) -> None:
        sets = list(program.sets)
        if program.assertions & (BEGIN_LINE | END_LINE):
            sets.append([(10, 10)])
        if program.assertions & (WORD_BOUNDARY | NOT_WORD_BOUNDARY):
            sets.append(WORD)
        bounds = {0}
        for ranges in sets:
            for low, high in ranges:
                bounds.add(low)
                if high < MAX_CODE:
                    bounds.add(high + 1)
        starts = sorted(bounds)
        members: list[list[int]] = [[] for _ in starts]
        for index in range(len(sets)):
            for low, high in sets[index]:
                for interval in range(_interval(starts, low), _interval(starts, high) + 1):
                    members[interval].append(index)
        # Intervals that belong to the same sets are one class.
        numbers: dict[tuple[int, ...], int] = {}
        self.starts = starts
        self.classes: list[int] = []
        self.newline: list[bool] = []
        self.word: list[bool] = []
        self.accepted: list[frozenset[int]] = []
        for interval in range(len(starts)):
            key = tuple(members[interval])
            number = numbers.get(key)
            if number is None:
                number = len(numbers)
                numbers[key] = number
                code = starts[interval]
                self.newline.append(code == 10)
                self.word.append(_is_word(code))
                self.accepted.append(frozenset(key))
            self.classes.append(number)
        self.size = len(numbers)
        if self.size > 255:
            raise PatternError("pattern is too large: it tells apart more than 255 kinds of characters")
        self.ascii = bytes([self.classify(code) if code < 128 else 0 for code in range(256)])

    def classify(self, code: int) -> int:
        return self.classes[_interval(self.starts, code)]

    def translate(self, text: str) -> bytes:
        """The class of each character."""
        if text.isascii():
            return text.encode("ascii").translate(self.ascii)
        known: dict[str, int] = {}
        result = bytearray()
        for character in text:
            number = known.get(character)
            if number is None:
                number = self.classify(ord(character))
                known[character] = number
            result.append(number)
        return bytes(result)


def _interval(starts: list[int], code: int) -> int:
    """The index of the last of the sorted `starts`, of which the first is 0, that is not above `code`."""
    low = 0
    high = len(starts)
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= code:
            low = middle
        else:
            high = middle
    return low


def _is_word(code: int) -> bool:
    return any(low <= code <= high for low, high in WORD)


@final
class Pattern:
    """A compiled RE2 pattern. Raises PatternError for a malformed one, or one of more than `limit` instructions."""

    def __init__(self, source: str, limit: int) -> None:
        self.source = source
        tree = parse(source, limit * _FOLDED_PER_INSTRUCTION)
        self._program = _Program(limit)
        self._program.add(tree)
        self._program.emit(_MATCH, 0, 0)
        self._alphabet = _Alphabet(self._program)
        self._width = self._alphabet.size + 1
        # Where no assertion looks to the left, states need not tell what lies there.
        looks = self._program.assertions
        self._sees_begin = looks & (BEGIN_TEXT | BEGIN_LINE) != 0
        self._sees_newline = looks & BEGIN_LINE != 0
        self._sees_word = looks & (WORD_BOUNDARY | NOT_WORD_BOUNDARY) != 0
        # A pattern that can only begin at the start of the text does not start anew at every character.
        self._anchored = _is_anchored(tree)
        self._reset()

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`."""
        state = 0
        width = self._width
        for number in self._alphabet.translate(text):
            following = self._table[state * width + number]
            if following < 0:
                if following == _UNKNOWN:
                    following = self._step(state, number)
                if following == _ACCEPT:
                    return True
                if following == _REJECT:
                    return False
            state = following
        following = self._table[state * width + width - 1]
        if following == _UNKNOWN:
            following = self._step(state, width - 1)
        return following == _ACCEPT

    def _reset(self) -> None:
        self._members: list[tuple[int, ...]] = []
        self._contexts: list[int] = []
        self._states: dict[tuple[int, tuple[int, ...]], int] = {}
        self._table: list[int] = []
        self._size = 0
        self._intern(_AT_BEGIN if self._sees_begin else 0, (0,))

    def _intern(self, context: int, members: tuple[int, ...]) -> int:
        key = (context, members)
        state = self._states.get(key)
        if state is None:
            state = len(self._members)
            self._states[key] = state
            self._members.append(members)
            self._contexts.append(context)
            self._table.extend([_UNKNOWN] * self._width)
            self._size += len(members)
        return state

    def _step(self, state: int, number: int) -> int:
        """The state after `state` and a character of class `number`; fills the table."""
        following = self._advance(self._contexts[state], self._members[state], number)
        if isinstance(following, int):
            self._table[state * self._width + number] = following
            return following
        context, members = following
        if len(self._table) > _MAX_TRANSITIONS or self._size > _MAX_STATE_MEMBERS:
            self._reset()
            return self._intern(context, members)
        target = self._intern(context, members)
        self._table[state * self._width + number] = target
        return target

    def _advance(self, context: int, members: tuple[int, ...], number: int) -> int | tuple[int, tuple[int, ...]]:
        program = self._program
        codes = program.codes
        alphabet = self._alphabet
        at_end = number == self._width - 1
        newline = not at_end and alphabet.newline[number]
        word = not at_end and alphabet.word[number]
        holding = _holding(context, at_end, newline, word)
        accepted = frozenset[int]() if at_end else alphabet.accepted[number]
        seen = bytearray(len(codes))
        after: set[int] = set()
        pending = list(members)
        while pending:
            address = pending.pop()
            if seen[address]:
                continue
            seen[address] = 1
            code = codes[address]
            if code == _CHARS:
                if program.first[address] in accepted:
                    after.add(address + 1)
            elif code == _SPLIT:
                pending.append(program.first[address])
                pending.append(program.second[address])
            elif code == _JUMP:
                pending.append(program.first[address])
            elif code == _ASSERT:
                if program.first[address] & holding:
                    pending.append(address + 1)
            else:
                return _ACCEPT
        if at_end:
            return _REJECT
        if not self._anchored:
            after.add(0)
        elif not after:
            return _REJECT
        following = 0
        if newline and self._sees_newline:
            following |= _AFTER_NEWLINE
        if word and self._sees_word:
            following |= _AFTER_WORD
        return following, tuple(sorted(after))


def _holding(context: int, at_end: bool, newline: bool, word: bool) -> int:
    """The assertions that hold between `context` and the next character."""
    holding = 0
    if context & _AT_BEGIN:
        holding |= BEGIN_TEXT | BEGIN_LINE
    elif context & _AFTER_NEWLINE:
        holding |= BEGIN_LINE
    if at_end:
        holding |= END_TEXT | END_LINE
    elif newline:
        holding |= END_LINE
    return holding | (WORD_BOUNDARY if (context & _AFTER_WORD != 0) != word else NOT_WORD_BOUNDARY)


def _is_anchored(piece: Piece) -> bool:
    if isinstance(piece, Assertion):
        return piece.kind == BEGIN_TEXT
    if isinstance(piece, Sequence):
        return len(piece.pieces) > 0 and _is_anchored(piece.pieces[0])
    if isinstance(piece, Alternation):
        return all(_is_anchored(branch) for branch in piece.branches)
    return False
