"""RE2 patterns against google-re2, and the bounds that keep matching linear."""

import contextlib
import time

import pytest
import re2
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tallyman.cel.re2 import MAX_DYNAMIC_PROGRAM, MAX_PROGRAM, Pattern, PatternError

QUIET = re2.Options()
QUIET.log_errors = False

ATOMS = [
    *("a", "b", "k", "K", "é", "É", "\u017f", "Σ", "ß", "0", " ", "-", "_", "\n", "{", "}", "]", ")", "("),
    *(".", "^", "$", r"\b", r"\B", r"\A", r"\z", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\n", r"\x41", r"\x{e9}"),
    *(r"\101", r"\0", r"\1", r"\12", r"\.", r"\_", r"\/", r"\é", r"\Z", r"\e", r"\x4", r"\x{110000}", r"\u0041"),
    *(r"\Q.*\E", r"\Q", r"\E", "()", "(?:)", "[a-c]", "[^a]", r"[^\w]", r"[\d-]", "[]a]", "[^]a]", "[a-]", "[-a]"),
    *(
        "[é-ü]",
        r"[^\W\d]",
        "[[:alpha:]]",
        "[[:^digit:]_]",
        "[[:foo:]]",
        "[z-a]",
        r"[a-\d]",
        "[a",
        r"[^\x00-\x{10FFFF}]",
    ),
]
GROUPS = ["(", "(?:", "(?i:", "(?s:", "(?m:", "(?-i:", "(?im-s:", "(?U:", "(?P<n>", "(?<n>", "(?x:", "(?=", "(?<!"]
FLAGS = ["(?i)", "(?s)", "(?m)", "(?i-s)", "(?-m)"]
REPETITIONS = ["*", "+", "?", "{2}", "{1,3}", "{0,1}", "{2,}", "*?", "{0}", "{1001}", "{3,1}", "**", "{,3}", "{10}"]
TEXTS = st.text(alphabet="abkKsS\u017f\u212aéÉüßΣς\u03c3_- 09\n^]{}\\.*Ax\x00", max_size=10)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("{}|{}".format, inner, inner),
        st.builds("{}{})".format, st.sampled_from(GROUPS), inner),
        st.builds("{}{}".format, st.sampled_from(FLAGS), inner),
        st.builds("{}{}".format, inner, st.sampled_from(REPETITIONS)),
    )


PATTERNS = st.recursive(st.sampled_from(ATOMS), _larger, max_leaves=8)


@settings(max_examples=500, deadline=None)
@given(PATTERNS, st.lists(TEXTS, max_size=8))
def test_agrees_with_google_re2(source: str, texts: list[str]) -> None:
    try:
        oracle = re2.compile(source, QUIET)
    except re2.error:
        with pytest.raises(PatternError):
            Pattern(source, MAX_PROGRAM)
        return
    try:
        pattern = Pattern(source, MAX_PROGRAM)
    except PatternError as error:
        # our bound on what a pattern may cost is lower than RE2's
        if "too large" not in str(error):
            raise
        assume(False)
    for text in texts:
        # RE2 counts octets, so it sees places that are no word boundary inside of é.
        if r"\B" not in source or text.isascii():
            assert pattern.search(text) == (oracle.search(text) is not None)


@given(st.text(max_size=20))
def test_any_pattern_compiles_or_is_explained(source: str) -> None:
    with contextlib.suppress(PatternError):
        Pattern(source, MAX_PROGRAM).search("some text")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a)", "unexpected ) (at offset 1)"),
        ("(a", "missing closing ) (at offset 0)"),
        ("[a", "missing closing ] (at offset 0)"),
        ("*a", "no argument for repetition operator * (at offset 1)"),
        ("a**", "bad repetition operator * (at offset 3)"),
        ("a{1001}", "bad repetition {1001}"),
        (r"(a)\1", r"bad escape \1"),
        ("(?=a)", "RE2 has no look-around"),
        (r"\pL", "Unicode classes"),
        ("(" * 1000 + ")" * 1000, "levels deep"),
        ("a" * 5000, "at most 4096"),
        ("(a{100}){11}", "repeated more than 1000 times"),
        ("((((((a{3}){3}){3}){3}){3}){3}){3}", "repeated more than 1000 times"),
        ("[abcdefgh]x{1000}|" * 12 + "y", "too large"),
    ],
)
def test_refused_patterns(source: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern(source, MAX_PROGRAM)
    assert message in str(caught.value)


def test_a_pattern_from_a_request_has_a_smaller_bound() -> None:
    assert Pattern("(a{30}){30}", MAX_PROGRAM).search("a" * 900)
    for source in ("(a{30}){30}", r"(?i)[\x{80}-\x{10FFFF}]"):
        with pytest.raises(PatternError, match="too large"):
            Pattern(source, MAX_DYNAMIC_PROGRAM)


def test_case_folding_of_all_characters() -> None:
    pattern = Pattern(r"^(?i)[\x{80}-\x{10FFFF}]+$", MAX_PROGRAM)
    oracle = re2.compile(r"^(?i)[\x{80}-\x{10FFFF}]+$", QUIET)
    for text in ("k", "s", "a", "\u212a", "é"):
        assert pattern.search(text) == (oracle.search(text) is not None)
    with pytest.raises(PatternError, match="too large"):
        Pattern(r"(?i)" + r"[\x{80}-\x{10FFFF}]" * 2, MAX_PROGRAM)


def test_every_letter_folds_as_in_google_re2() -> None:
    letters = [
        chr(code) for code in range(0x80, 0x1E950) if chr(code).lower() != chr(code) or chr(code).upper() != chr(code)
    ]
    wrong = []
    for letter in letters:
        others = [variant for variant in (letter.lower(), letter.upper(), letter.title()) if len(variant) == 1]
        pattern = Pattern(f"(?i)^{letter}$", MAX_PROGRAM)
        oracle = re2.compile(f"(?i)^{letter}$", QUIET)
        wrong += [(letter, other) for other in others if pattern.search(other) != (oracle.search(other) is not None)]
    assert wrong == []


@pytest.mark.parametrize(
    "source",
    ["(a*)*b", "(a|aa)+$b", "(.*)(.*)(.*)(.*)x", "(a?){200}a{200}b", "^(([a-z])+.)+[A-Z]([a-z])+$", "(x+x+)+y"],
)
def test_patterns_that_ruin_backtracking_stay_linear(source: str) -> None:
    pattern = Pattern(source, MAX_PROGRAM)
    started = time.process_time()
    assert not pattern.search("a" * 20_000)
    assert time.process_time() - started < 5


def test_the_table_of_states_is_bounded_and_the_answer_stays_right() -> None:
    # An unbounded table would hold a state for every set of places of the last 16 letters.
    source = "[ab]*a[ab]{16}c"
    pattern = Pattern(source, MAX_PROGRAM)
    oracle = re2.compile(source, QUIET)
    number = 1
    letters = []
    for _ in range(12_000):
        number = number * 1103515245 + 12345 & 0x7FFFFFFF
        letters.append("ab"[number >> 16 & 1])
    text = "".join(letters)
    for tail in ("c", "a" + "b" * 16 + "c", "b" * 17 + "c"):
        assert pattern.search(text + tail) == (oracle.search(text + tail) is not None)
    assert len(pattern._table) <= 40_000


@given(st.text(max_size=30), st.text(max_size=5))
def test_quoted_text_is_found_as_it_stands(text: str, part: str) -> None:
    if "\\E" not in part:
        assert Pattern(f"\\Q{part}\\E", MAX_PROGRAM).search(text) == (part in text)
