"""Text to tokens and back, and the text of a random answer.

The simulator has no vocabulary: a token is a piece of text, and the pieces of an answer joined are the answer. The
rules are those of llm-d-inference-sim v0.10 without a tokenizer service, so its counts can be compared with ours.
"""

import random
import re
from collections.abc import Sequence
from typing import Final

_TOKEN: Final = re.compile(r"""(?:[{}:,\-.?!;@#$%^&*()+_~/\\><\[\]="']|[0-9A-Za-z_]+)[\t\n\f\r ]*""")

_SENTENCES: Final = (
    "A gateway counts what passes, and forgets what it has no need to know. ",
    "The kettle is on; tea in five minutes. ",
    "Seven ships left the harbour at dawn, and six of them came back before the storm. ",
    "Yes. ",
    "Prices, in order: $3, $5 & $8 (plus 20% tax). ",
    "It depends on the weather, as it always does. ",
    "Ask again tomorrow, please! ",
    "Read the first page twice, the second page once, and the last page aloud to whoever will listen. ",
    "Why not? ",
    "All the world's a stage, and all the men and women merely players; they have their exits and entrances. ",
)

_LENGTH_MEAN: Final = 40.0
_LENGTH_DEVIATION: Final = 20.0
# Share of answers whose length falls into each fifth of [1, max_tokens); the rest, 15 %, are cut at max_tokens.
_FIFTHS: Final = (0.2, 0.3, 0.2, 0.05, 0.1)


def tokenize(text: str) -> list[str]:
    """The tokens of *text*: an ASCII word or one punctuation mark, each with the white space behind it.

    Characters outside ASCII are no tokens and are left out.
    """
    return _TOKEN.findall(text)


def random_length(rng: random.Random, limit: int | None, room: int) -> int:
    """How many tokens a random answer has: from 1 to *limit* (``max_tokens``), or to *room* in the context window."""
    if limit is None:
        return _normal_length(rng, max(1, room))
    if limit <= len(_FIFTHS) + 1:
        return rng.randint(1, limit)
    share = rng.random()
    fifth = (limit - 1) / len(_FIFTHS)
    for index, probability in enumerate(_FIFTHS):
        if share < probability:
            return rng.randint(int(fifth * index) + 1, min(int(fifth * (index + 1)), limit - 1))
        share -= probability
    return limit


def _normal_length(rng: random.Random, room: int) -> int:
    if room < _LENGTH_MEAN - _LENGTH_DEVIATION:
        return rng.randint(1, room)
    while True:
        length = round(rng.gauss(_LENGTH_MEAN, _LENGTH_DEVIATION))
        if 1 <= length <= room:
            return length


_SENTENCE_TOKENS: Final[Sequence[list[str]]] = tuple(tokenize(sentence) for sentence in _SENTENCES)


def random_tokens(rng: random.Random, length: int) -> list[str]:
    """*length* tokens of sentences strung together, the last one cut where the length is reached."""
    tokens: list[str] = []
    while len(tokens) < length:
        tokens += rng.choice(_SENTENCE_TOKENS)
    del tokens[length:]
    return tokens
