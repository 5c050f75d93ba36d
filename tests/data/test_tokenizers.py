"""Vocabularies and numbers against counts made by hand."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.tokenizers import END, PADDING, UNKNOWN, Tokenizer, choose_token_kind, fit_tokenizer
from pellucid.errors import DataError, RunCorruptedError, SettingsError


def test_words_and_punctuation():
    tokenizer = fit_tokenizer(["It's GOOD, good."], kind="word", length=9)
    assert tokenizer.split("It's GOOD, good.") == ["it's", "good", ",", "good", "."]
    assert tokenizer.tokens == ("<pad>", "<unk>", "good", ",", ".", "it's")
    assert tokenizer.encode(["good film"]).tolist() == [[2, UNKNOWN] + [PADDING] * 7]


def test_the_most_frequent_tokens_are_kept():
    texts = ["b b b a a c", "d"]
    counts = Counter(" ".join(texts).split())
    tokenizer = fit_tokenizer(texts, kind="word", vocabulary=2)
    assert tokenizer.tokens[2:] == tuple(token for token, _ in counts.most_common(2))
    assert tokenizer.encode(["c a"]).tolist()[0][:2] == [UNKNOWN, 3]


def test_length_is_the_98th_percentile():
    texts = ["x " * n for n in range(1, 101)]
    expected = int(np.ceil(np.percentile(np.arange(1, 101), 98)))
    tokenizer = fit_tokenizer(texts, kind="word")
    assert tokenizer.length == expected
    assert int((tokenizer.count(texts) > tokenizer.length).sum()) == 100 - expected


def test_special_names_in_a_text_are_ordinary_tokens():
    tokenizer = fit_tokenizer(["<pad> x"], kind="word")
    assert PADDING not in tokenizer.encode(["<pad>"])[0][:3]


def test_a_text_without_tokens_is_one_unknown():
    tokenizer = fit_tokenizer(["abc"], kind="character")
    assert tokenizer.encode(["", "  "]).tolist() == [[UNKNOWN, PADDING, PADDING]] * 2


def test_steps_ask_for_each_following_token():
    tokenizer = fit_tokenizer(["abc", "ab"], kind="character", with_end=True)
    a, b, c = (tokenizer.numbers[letter] for letter in "abc")
    inputs, targets = tokenizer.encode_steps(["abc", "b"])
    assert inputs.tolist() == [[END, a, b, c], [END, b, PADDING, PADDING]]
    assert targets.tolist() == [[a, b, c, END], [b, END, -100, -100]]


def test_a_cut_text_still_asks_for_its_next_token():
    tokenizer = fit_tokenizer(["abcd"], kind="character", length=2, with_end=True)
    a, b, c = (tokenizer.numbers[letter] for letter in "abc")
    inputs, targets = tokenizer.encode_steps(["abcd"])
    assert inputs.tolist() == [[END, a, b]]
    assert targets.tolist() == [[a, b, c]]


def test_names_are_read_by_character_and_reviews_by_word():
    assert choose_token_kind(["Ada", "Grace", "Emmy"]) == "character"
    assert choose_token_kind(["a fine film", "dull from end to end"]) == "word"


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8), st.sampled_from(["word", "character"]))
def test_known_texts_decode_to_themselves(texts, kind):
    try:
        tokenizer = fit_tokenizer(texts, kind=kind, length=64)
    except DataError:  # a text of nothing that a word pattern matches
        return
    for text, numbers in zip(texts, tokenizer.encode(texts), strict=True):
        expected = tokenizer.split(text)[:64]
        decoded = [tokenizer.tokens[number] for number in numbers if number != PADDING]
        assert decoded == (expected or ["<unk>"])


@given(st.lists(st.text(), min_size=1, max_size=8))
def test_the_document_brings_the_tokenizer_back(texts):
    tokenizer = fit_tokenizer([*texts, "a"], kind="character", with_end=True)
    assert Tokenizer.from_document(json.loads(json.dumps(tokenizer.to_document()))) == tokenizer


def test_what_cannot_be_is_refused():
    with pytest.raises(SettingsError, match="vocabulary of 0"):
        fit_tokenizer(["a"], vocabulary=0)
    with pytest.raises(SettingsError, match="length of -1"):
        fit_tokenizer(["a"], length=-1)
    with pytest.raises(DataError, match="no token"):
        fit_tokenizer(["", " "])
    with pytest.raises(RunCorruptedError, match="vocabulary cannot be read"):
        Tokenizer.from_document({"kind": "word"})
