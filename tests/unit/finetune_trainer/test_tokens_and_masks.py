"""From text to tokens: the tokenizer alone against the library's, and masks by asking for single characters against all offsets."""

import bisect
import functools
import itertools
import pickle

import pytest
import tokenizers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import trainer_tiny_model
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.families import PLAIN_TEMPLATE
from finetune_trainer.data.rows import Example, Place, Text
from finetune_trainer.data.tokenise import IGNORED, Marked, Tokeniser
from finetune_trainer.data.vocabulary import Vocabulary

pytestmark = pytest.mark.slow  # worker processes, and every mask worked out twice

TEXTS = st.text(
    st.one_of(
        st.sampled_from(" \n\tabcdefret.,:é한글🙂👩‍🚀\u0301ﬁ\u200b<|>"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=60,
)
ROW = Example(Place("a", 1), Text("ignored"), "All")


@functools.cache
def byte_level() -> PreTrainedTokenizerFast:
    """NFC, and characters of several bytes are several tokens."""
    return AutoTokenizer.from_pretrained(trainer_tiny_model.folder())


@functools.cache
def with_ends() -> PreTrainedTokenizerFast:
    """As sentencepiece does it: spaces become part of words, a beginning and an end are put around every text."""
    specials = ["<unk>", "<s>", "</s>"]
    pieces = [
        *specials,
        "\u2581",
        *map(chr, range(32, 127)),
        "\u2581a",
        "re",
        "ret",
        "et",
        "\u2581b",
        "ab",
        *"é한글\n",
    ]
    made = tokenizers.Tokenizer(
        models.BPE(
            {piece: at for at, piece in enumerate(pieces)},
            [("\u2581", "a"), ("r", "e"), ("re", "t"), ("e", "t"), ("\u2581", "b"), ("a", "b")],
            unk_token="<unk>",
            fuse_unk=True,
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@functools.cache
def stripping() -> PreTrainedTokenizerFast:
    """Spaces are no tokens: nothing stands for the character where a span may begin."""
    made = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2, "[E]": 3}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", eos_token="[E]")


TOKENIZERS = {"byte level": byte_level, "with ends": with_ends, "stripping": stripping}


def tokeniser(words) -> Tokeniser:
    specials = {"eos_token": words.eos_token}
    return Tokeniser(words, Renderer(PLAIN_TEMPLATE, specials, end_tokens=words.all_special_tokens))


@st.composite
def marked(draw) -> Marked:
    """A text with spans of it that are learned."""
    text = draw(TEXTS)
    edges = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    apart = [
        span for at, span in enumerate(spans) if span[0] < span[1] and (not at or span[0] >= spans[at - 1][1])
    ]
    return Marked(text, tuple(apart), raw=draw(st.booleans()))


def by_offsets(words, one: Marked) -> tuple[list[int], list[int]]:
    """Token ids and labels by way of all offsets: slow, and easy to follow."""

    def encoded(text: str, *, special: bool) -> tuple[list[int], list[tuple[int, int]]]:
        found = words(text, add_special_tokens=special, return_offsets_mapping=True, verbose=False)
        return found["input_ids"], found["offset_mapping"]

    def starts(offsets) -> list[int]:
        count = len(offsets)
        while count and offsets[count - 1][1] == 0:
            count -= 1
        return [begins for begins, _ in offsets[:count]]

    ids, offsets = encoded(one.text, special=one.raw)
    begins = starts(offsets)
    before = [bisect.bisect_left(begins, start) - 1 for start, _ in one.learned]
    if any(at >= 0 and offsets[at][1] > start for at, (start, _) in zip(before, one.learned, strict=True)):
        ids, offsets = [], []
        cuts = sorted({0, len(one.text), *(start for start, _ in one.learned)})
        for first, behind in itertools.pairwise(cuts):
            more, places = encoded(one.text[first:behind], special=one.raw and first == 0)
            count = len(
                starts(places)
            )  # an end that the tokenizer puts behind every text does not belong into the middle
            ids += more[:count]
            offsets += [(s + first, e + first) if e > s else (0, 0) for s, e in places[:count]]
        begins = starts(offsets)
    labels = [IGNORED] * len(ids)
    for start, end in one.learned:
        first, behind = bisect.bisect_left(begins, start), bisect.bisect_left(begins, end)
        labels[first:behind] = ids[first:behind]
    if one.raw and (not ids or ids[-1] != words.eos_token_id):
        return [*ids, words.eos_token_id], [*labels, words.eos_token_id]
    if one.raw:
        labels[-1] = ids[-1]
    return ids, labels


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=300, deadline=None)
@given(one=marked())
def test_masks_are_those_that_all_offsets_give(name, one):
    words = TOKENIZERS[name]()
    made = tokeniser(words)

    (tokens,) = made.vocabulary.tokens([one.text], special=one.raw)
    encoded = made._labelled(ROW, one, tokens)

    if (
        name != "byte level"
    ):  # in pieces such a tokenizer must not put its own space before each: see the tests of masks
        assume(not tokens.straddled(start for start, _ in one.learned))

    ids, labels = by_offsets(words, one)
    assert (encoded.input_ids, encoded.labels) == (ids, labels)
    assert encoded.supervised == len(labels[1:]) - labels[1:].count(IGNORED)
    assert encoded.end == next((label for label in reversed(labels) if label != IGNORED), IGNORED)
    for length in (0, 1, 3, len(ids), len(ids) + 1):
        short = encoded.cut(length)
        assert (short.input_ids, short.labels) == (ids[:length], labels[:length])


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=200, deadline=None)
@given(texts=st.lists(TEXTS, max_size=4), special=st.booleans())
def test_the_tokenizer_alone_gives_what_the_library_gives_in_any_process(name, texts, special):
    words = TOKENIZERS[name]()
    alone = pickle.loads(pickle.dumps(Vocabulary.of(words)))  # noqa: S301 - pickled right here

    found = [encoding.ids for encoding in alone.encode(texts, special=special)]

    assert found == [words(text, add_special_tokens=special, verbose=False)["input_ids"] for text in texts]


def test_the_library_may_cut_and_pad_without_changing_what_is_made_of_it():
    words = AutoTokenizer.from_pretrained(trainer_tiny_model.folder())
    words("a few words more than that", truncation=True, max_length=2, padding="max_length")

    (encoding,) = Vocabulary.of(words).encode(["a few words more than that"], special=False)

    assert len(encoding.ids) > 2


def test_what_looks_like_a_special_token_is_text_where_it_is_said_to_be():
    words = byte_level()
    alone = Vocabulary.of(words)

    (special,), (plain,), (again,) = (
        alone.encode(["a<|im_end|>b"], special=False, plain=plain) for plain in (False, True, False)
    )

    end = words.convert_tokens_to_ids("<|im_end|>")
    assert end in special.ids
    assert end not in plain.ids
    assert words.decode(plain.ids) == "a<|im_end|>b"
    assert again.ids == special.ids
