"""How a text becomes token numbers, and which numbers a network knows.

Number 0 is padding and 1 is "unknown": every token that the training texts did not hold, or held too seldom.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from pellucid.errors import DataError, RunCorruptedError, SettingsError

__all__ = ["END", "PADDING", "UNKNOWN", "TokenKind", "Tokenizer", "choose_token_kind", "fit_tokenizer"]

TokenKind = Literal["word", "character"]

PADDING = 0
UNKNOWN = 1
END = 2
"""Where a vocabulary has one: it stands before the first and after the last token of a text."""

_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_SPECIAL = ("<pad>", "<unk>")
_END_NAME = "<end>"


@dataclass(frozen=True)
class Tokenizer:
    """A fitted vocabulary and length: the same text gives the same numbers, for ever.

    Attributes:
        kind: ``"word"``: words and single punctuation marks in lower case; ``"character"``: characters as they stand.
        tokens: The vocabulary in the order of its numbers; the first two are padding and unknown.
        length: How many tokens of a text are kept; what is longer is cut at the end.
        with_end: Whether number 2 marks the ends of a text, for predicting each next token.

    >>> tokenizer = fit_tokenizer(["aab", "a"], kind="character")
    >>> tokenizer.tokens
    ('<pad>', '<unk>', 'a', 'b')
    >>> tokenizer.encode(["ba", "abc"]).tolist()
    [[3, 2, 0], [2, 3, 1]]
    """

    kind: TokenKind
    tokens: tuple[str, ...]
    length: int
    with_end: bool = False

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Each token's number."""
        first = len(_SPECIAL) + self.with_end
        return {token: number for number, token in enumerate(self.tokens) if number >= first}

    def split(self, text: str) -> list[str]:
        """Cut a text into tokens."""
        return _split(text, self.kind)

    def count(self, texts: Iterable[str]) -> np.ndarray:
        """``(batch,)`` how many tokens each text has, uncut."""
        return np.array([len(self.split(text)) for text in texts], dtype=np.int64)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """``(batch, length)`` int64 token numbers, padded at the end; a text without any token is one unknown token."""
        encoded = np.full((len(texts), self.length), PADDING, dtype=np.int64)
        for row, text in enumerate(texts):
            numbers = self._numbers_of(text)[: self.length] or [UNKNOWN]
            encoded[row, : len(numbers)] = numbers
        return encoded

    def encode_steps(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Every token as the question and its follower as the answer.

        Returns:
            ``(batch, length + 1)`` int64 inputs, from the end mark that opens a text, and the same shape of targets,
            up to the end mark that closes it; -100 in the targets where the text is over.
        """
        steps = self.length + 1
        inputs = np.full((len(texts), steps), PADDING, dtype=np.int64)
        targets = np.full((len(texts), steps), -100, dtype=np.int64)
        for row, text in enumerate(texts):
            numbers = [END, *self._numbers_of(text), END]
            kept = min(steps, len(numbers) - 1)
            inputs[row, :kept] = numbers[:kept]
            targets[row, :kept] = numbers[1 : kept + 1]
        return inputs, targets

    def _numbers_of(self, text: str) -> list[int]:
        numbers = self.numbers
        return [numbers.get(token, UNKNOWN) for token in self.split(text)]

    def to_document(self) -> dict[str, Any]:
        """The tokenizer as JSON can say it."""
        return {"kind": self.kind, "tokens": list(self.tokens), "length": self.length, "with_end": self.with_end}

    @staticmethod
    def from_document(document: dict[str, Any], *, place: str = "") -> Tokenizer:
        """Read ``to_document``'s form back."""
        try:
            kind: TokenKind = "word" if document["kind"] == "word" else "character"
            tokens = tuple(str(token) for token in document["tokens"])
            return Tokenizer(kind, tokens, int(document["length"]), bool(document["with_end"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RunCorruptedError(f"the vocabulary cannot be read ({error})", place=place) from error


def _split(text: str, kind: TokenKind) -> list[str]:
    return _WORD.findall(text.lower()) if kind == "word" else list(text.strip())


def choose_token_kind(texts: Sequence[str]) -> TokenKind:
    """Characters if nearly all texts are single short words (names, codes), words otherwise."""
    sample = [text.strip() for text in texts[:: max(1, len(texts) // 5000)]]
    single = sum(len(text) <= 30 and not re.search(r"\s", text) for text in sample)
    return "character" if single >= 0.9 * len(sample) else "word"


def fit_tokenizer(
    texts: Sequence[str],
    *,
    kind: TokenKind | Literal["auto"] = "auto",
    vocabulary: int = 10_000,
    length: int | None = None,
    with_end: bool = False,
) -> Tokenizer:
    """Learn the vocabulary and the length from training texts.

    Args:
        texts: The training texts, and no others.
        kind: How to cut; ``"auto"`` chooses by looking.
        vocabulary: How many tokens are kept at most, the most frequent ones, padding and unknown not counted.
        length: Tokens kept of a text; ``None`` = the 98th percentile of the training texts' lengths.
        with_end: Whether the ends of a text get a token of their own.

    Returns:
        The tokenizer; tokens are in order of falling frequency, equals in the order of their spelling.

    Raises:
        SettingsError: ``vocabulary`` or ``length`` is below 1.
        DataError: No text holds any token.
    """
    if vocabulary < 1:
        raise SettingsError(
            f"a vocabulary of {vocabulary} tokens holds nothing", place="vocabulary", remedy="take 1 or more"
        )
    if length is not None and length < 1:
        raise SettingsError(f"a length of {length} tokens holds nothing", place="length", remedy="take 1 or more")
    chosen = choose_token_kind(texts) if kind == "auto" else kind
    counts: Counter[str] = Counter()
    lengths = np.zeros(len(texts), dtype=np.int64)
    for row, text in enumerate(texts):
        tokens = _split(text, chosen)
        counts.update(tokens)
        lengths[row] = len(tokens)
    if not counts:
        raise DataError("the training texts hold no token at all", remedy="check the text column")
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:vocabulary]
    special = (*_SPECIAL, _END_NAME) if with_end else _SPECIAL
    tokens = (*special, *(token for token, _ in ranked))
    percentile = max(1, int(np.ceil(np.percentile(lengths, 98))))
    return Tokenizer(chosen, tokens, length or percentile, with_end)
