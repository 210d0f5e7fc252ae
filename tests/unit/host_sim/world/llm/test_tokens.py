import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.world.llm.tokens import random_length, random_tokens, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Hello there, how are you today?", ["Hello ", "there", ", ", "how ", "are ", "you ", "today", "?"]),
        ("a_b2 -c", ["a_b2 ", "-", "c"]),
        ("héllo", ["h", "llo"]),
        ("日本語", []),
        ("", []),
        ("x\n\ty", ["x\n\t", "y"]),
        ('{"a": [1]}', ["{", '"', "a", '"', ": ", "[", "1", "]", "}"]),
    ],
)
def test_a_token_is_a_word_or_a_mark_with_the_space_behind_it(text: str, tokens: list[str]) -> None:
    assert tokenize(text) == tokens


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")).filter(lambda c: c not in "`|")))
def test_ascii_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(tokenize(text)) == text.lstrip()


@given(st.text())
def test_tokenizing_an_answer_again_changes_nothing(text: str) -> None:
    tokens = tokenize(text)
    assert tokenize("".join(tokens)) == tokens or any(ord(c) > 127 for c in text) or set(text) & set("`|")


@given(st.integers(), st.integers(1, 3000), st.integers(1, 3000))
def test_random_lengths_stay_within_their_limit(seed: int, limit: int, room: int) -> None:
    rng = random.Random(seed)
    assert 1 <= random_length(rng, limit, room) <= limit
    assert 1 <= random_length(rng, None, room) <= room


@given(st.integers(), st.integers(0, 300))
def test_random_text_has_exactly_the_tokens_it_is_counted_as(seed: int, length: int) -> None:
    tokens = random_tokens(random.Random(seed), length)
    assert len(tokens) == length
    assert tokenize("".join(tokens)) == tokens


def test_lengths_with_max_tokens_100_have_the_observed_spread() -> None:
    rng = random.Random(1)
    lengths = [random_length(rng, 100, 1000) for _ in range(5000)]
    assert 40 <= sum(lengths) / len(lengths) <= 48
    assert min(lengths) == 1
    assert 0.12 < lengths.count(100) / len(lengths) < 0.18
