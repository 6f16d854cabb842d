"""Texts cut into parts: the tokens of the parts are those of the whole, and stand for the same characters."""

import functools
import itertools
import os
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import trainers as bpe

import chat_tokenizers
from finetune_trainer.data import cuts, lexicon
from finetune_trainer.data.boundaries import Boundaries
from finetune_trainer.data.vocabulary import Vocabulary

SPECIALS = ("<|end|>", "<|start|>")
FRAGMENTS = (
    *SPECIALS, " ", "  ", "\n", "\r\n", "\t", "\x1c", "\xa0", "\u3000", "/", "'s", "'LL", "don't", "1", "2024", "the", "The", "a",
    "!", "?!", "...", "<|", "|>", "::", "(", "\u0301", "e\u0301", "\u1100\u1161", "한글", "日本語", "🙂", "👩\u200d🚀", "ﬁ", "\0",
)  # fmt: skip
TEXTS = st.lists(
    st.one_of(st.sampled_from(FRAGMENTS), st.characters(exclude_categories=["Cs"])), max_size=40
).map("".join)
SIGNS = "a1!/ \n\u0301"
"""One of each kind that an expression tells apart."""
ADDED = [AddedToken(name, special=True, normalized=False) for name in SPECIALS]


def every(length: int) -> list[str]:
    """Every text of so many `SIGNS`."""
    return ["".join(signs) for signs in itertools.product(SIGNS, repeat=length)]


def split(expression: str, *before, **settings) -> pre_tokenizers.PreTokenizer:
    """As most byte-level models cut: by an expression, then into bytes."""
    cut = pre_tokenizers.Split(Regex(expression), **{"behavior": "isolated", **settings})
    return pre_tokenizers.Sequence(
        [*before, cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def assembled(pre_tokenizer: pre_tokenizers.PreTokenizer, *added: AddedToken, **parts) -> Tokenizer:
    """A byte-level tokenizer that knows single bytes; `parts`: its other components."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: at for at, sign in enumerate(alphabet)}
    made = Tokenizer(models.BPE(vocabulary, [], dropout=parts.pop("dropout", None)))
    for name, part in parts.items():
        setattr(made, name, part)
    made.pre_tokenizer, made.decoder = pre_tokenizer, decoders.ByteLevel()
    made.add_special_tokens(list(added or ADDED))
    return made


def trained(pre_tokenizer: pre_tokenizers.PreTokenizer, **parts) -> Tokenizer:
    """One that has learned words."""
    made = assembled(pre_tokenizer, **parts)
    corpus = [
        *every(4),
        (Path(os.__file__).parent / "argparse.py").read_text(),
        " \n\n  \n" * 100,
        chat_tokenizers.KOREAN * 20,
    ]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        corpus, bpe.BpeTrainer(vocab_size=2500, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_special_tokens(ADDED)
    return made


GPT_2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
PLAIN = chat_tokenizers.SPLIT
CUT = {
    "GPT 2": lambda: trained(GPT_2),
    "SmolLM2": lambda: trained(
        pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT_2])
    ),
    "composed first": lambda: trained(split(PLAIN), normalizer=normalizers.NFC()),
    "a beginning before each text": lambda: trained(
        split(PLAIN),
        post_processor=processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(single="<|start|> $A", special_tokens=[("<|start|>", 1)]),
            ]
        ),
    ),
    **{
        f"expression {at}": lambda expression=expression: trained(split(expression))
        for at, expression in enumerate(sorted(cuts.EXPRESSIONS))
    },
}
"""Tokenizers whose texts are cut."""
WHOLE = {
    "no pre-tokenizer": lambda: (
        chat_tokenizers.made("metaspace-bare", SPECIALS, bos="", eos="<|end|>").backend_tokenizer
    ),
    "another expression": lambda: assembled(split(r"\S+ \S+|\s+|\S+")),
    "an expression the other way round": lambda: assembled(split(PLAIN, invert=True)),
    "matches taken away": lambda: assembled(split(PLAIN, behavior="removed")),
    "bytes alone": lambda: assembled(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)),
    "bytes before the expression": lambda: assembled(
        split(PLAIN, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    ),
    "a step before it": lambda: assembled(
        split(PLAIN, pre_tokenizers.Split(" the", behavior="merged_with_next"))
    ),
    "a space put before": lambda: assembled(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "another normalizer": lambda: assembled(GPT_2, normalizer=normalizers.NFKC()),
    "offsets without space": lambda: assembled(GPT_2, post_processor=processors.ByteLevel(trim_offsets=True)),
    "merges by chance": lambda: assembled(GPT_2, dropout=0.1),
    "special tokens that take space behind": lambda: assembled(GPT_2, AddedToken("<|end|>", rstrip=True)),
    "special tokens that take space before": lambda: assembled(GPT_2, AddedToken("<|end|>", lstrip=True)),
    "special tokens that look around": lambda: assembled(GPT_2, AddedToken("<|end|>", single_word=True)),
    "special tokens with space": lambda: assembled(GPT_2, AddedToken("the end")),
}
"""Tokenizers whose texts are not."""


@functools.cache
def vocabulary(name: str) -> Vocabulary:
    made = CUT[name]()
    return Vocabulary(made.to_str(), made.token_to_id("<|end|>"), plain_specials=False)


@pytest.mark.parametrize("name", CUT)
@settings(max_examples=50, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=3), special=st.booleans())
def test_parts_have_the_tokens_of_the_whole(name, texts, special):
    words = vocabulary(name)

    found = [*words.tokens(texts, special=special), *words.tokens(texts, special=special)]

    texts = [*texts, *texts]  # the second time their parts are known
    for text, tokens, encoding in zip(texts, found, words.encode(texts, special=special), strict=True):
        whole = Boundaries(encoding, len(text))
        spots = range(len(text) + 1)
        assert tokens.ids == whole.ids
        assert [tokens.first(spot) for spot in spots] == [whole.first(spot) for spot in spots]
        assert [tokens.straddled([spot]) for spot in spots] == [whole.straddled([spot]) for spot in spots]


@pytest.mark.parametrize("name", CUT)
def test_parts_have_the_tokens_of_the_whole_whatever_stands_beside_a_cut(name):
    texts = every(4)
    words = vocabulary(name)

    words.tokens(texts, special=False)
    found = words.tokens(texts, special=False)  # the second time their parts are known

    assert [tokens.ids for tokens in found] == [
        encoding.ids for encoding in words.encode(texts, special=False)
    ]


@pytest.mark.parametrize("name", CUT)
def test_a_text_is_cut_where_its_parts_have_the_same_tokens(name):
    assert cuts.allowed(Tokenizer.from_str(vocabulary(name).description))


@given(text=TEXTS)
def test_parts_make_the_text_again(text):
    parts = cuts.parts(text)

    assert "".join(parts) == text
    assert all(parts)


def test_words_are_parts():
    text = "<|start|>user\nWhy is it so?  Say\n\n- a\n- b\n/etc <|end|>\n"

    assert cuts.parts(text) == [
        "<|start|>user\n",
        "Why",
        " is",
        " it",
        " so?  Say\n\n-",
        " a\n",
        "-",
        " b\n/etc",
        " <|end|>\n",
    ]


@pytest.mark.parametrize("name", WHOLE)
def test_a_text_is_left_whole_where_its_parts_could_have_other_tokens(name):
    assert not cuts.allowed(WHOLE[name]())


def test_whatever_is_space_for_an_expression_is_space_for_us():
    every = (chr(code) for code in range(sys.maxunicode + 1))
    others = "".join(
        sign for sign in every if unicodedata.category(sign) not in {"Cn", "Cs"} and not sign.isspace()
    )

    ((found, _),) = pre_tokenizers.Split(Regex(r"\s"), behavior="removed").pre_tokenize_str(others)

    assert len(found) == len(others)


class Watched(lexicon.Lexicon):
    """Notes what is asked of the tokenizer."""

    def __init__(self) -> None:
        self.engine = CUT["GPT 2"]()
        self.asked: list[str] = []
        super().__init__(self._watched)

    def _watched(self, texts):
        self.asked.extend(texts)
        return self.engine.encode_batch(list(texts))

    def said(self, text: str) -> set[str]:
        """What was asked for `text`."""
        begins = len(self.asked)
        assert self.tokens([text])[0].ids == self.engine.encode(text).ids
        return set(self.asked[begins:])


def test_a_strange_text_is_asked_for_whole_and_its_words_are_known_then():
    words = Watched()
    text = "one two three four five six seven"

    assert words.said(text) == {text}
    assert words.said(f"{text} eight") == {" eight"}
    assert words.said(f"{text} eight two") == set()


def test_a_long_part_is_asked_for_each_time():
    words, long = Watched(), "x" * lexicon.LONGEST
    text = " ".join(map(str, range(100)))
    words.said(text)

    assert words.said(f"{text} {long}") == words.said(f"{text} {long}") == {f" {long}"}
    assert words.said(long) == {long}
    assert words.said(long) == set()


def test_what_is_known_of_words_stays_small(monkeypatch):
    monkeypatch.setattr(lexicon, "MOST", 7)
    words = Watched()
    text = "one two three four five six seven"
    words.said(text)

    assert words.said(text) == set()
    assert words.said(f"{text} eight") == {" eight"}
    assert words.said(text) == {text}
