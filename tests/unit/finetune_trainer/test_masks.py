"""What is learned, read back: the supervised tokens of a conversation are the assistant's words and the ends of turn."""

import pytest

import chat_families
from chat_families import BY_NAME, CASES, Case, answers, composed, encoded, learned, shipped
from finetune_trainer.data import families
from finetune_trainer.data.rows import Continuation, Conversation, Example, Message, Place, Text
from finetune_trainer.data.tokenise import Tokeniser

TURNS = (
    Message("user", "What is the capital of France?"),
    Message("assistant", "Paris.\n\nIt lies on the Seine: a river."),
    Message("user", "And of Korea? assistant, 한국어로"),
    Message("assistant", "서울 🙂 e\u0301"),
)
SYSTEM = Message("system", "You answer briefly.")
CHATML = BY_NAME["chatml"]


@pytest.mark.parametrize("with_system", [False, True], ids=["bare", "system"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_assistants_words_and_ends_of_turn_are_learned_and_nothing_else(case, with_system):
    if with_system and not case.system:
        pytest.skip("the template refuses system turns")
    turns = (SYSTEM, *TURNS) if with_system else TURNS

    one = encoded(case, turns)

    assert learned(case, one) == answers(case, turns)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_each_template_is_of_the_family_that_it_is_said_to_be_of(case):
    renderer = case.renderer()
    turns = Conversation(TURNS, 3)

    rendered = renderer.render(turns, Place("a", 1))
    again = renderer.render(turns, Place("a", 1))

    assert renderer.family == case.family
    assert not rendered.endless
    assert not rendered.plain
    assert again == rendered


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_tokens_are_those_of_the_template_as_transformers_renders_it(case):
    words, turns = case.tokenizer, [turn.wire() for turn in TURNS]
    text = words.apply_chat_template(
        turns, chat_template=case.template, tokenize=False, date_string="26 Jul 2024"
    )

    one = encoded(case, TURNS)

    same = one.input_ids == words(text, add_special_tokens=False)["input_ids"]
    # A prompt that ends in the middle of a thought is cut there, as it is at inference; and gpt-oss asks for the date.
    assert same or case.name in {"qwen3.5-think", "gpt-oss"}


def test_every_family_is_tested():
    assert {case.family for case in CASES} >= {family.name for family in families.FAMILIES}
    assert len({case.family for case in CASES}) > 10


@pytest.mark.parametrize("turns", [TURNS, (SYSTEM, *TURNS), TURNS[:2], (SYSTEM, *TURNS[:2])], ids=len)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_where_two_families_fit_a_row_they_say_the_same(case, turns):
    if turns[0].role == "system" and not case.system:
        pytest.skip("the template refuses system turns")
    renderer = case.renderer()
    text = renderer.render(Conversation(turns, len(turns) - 1), Place("a", 1)).text

    found = [families.spans(family, turns, text) for family in renderer._families]

    assert len({tuple(spans) for spans in found if spans is not None}) <= 1


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_turn_of_weight_0_is_shown_but_not_learned(case):
    asked, answer, *more = TURNS
    turns = (asked, Message("assistant", answer.content, learned=False), *more)

    one = encoded(case, turns)

    assert learned(case, one) == answers(case, turns)
    assert one.input_ids == encoded(case, TURNS).input_ids


def test_a_turn_of_weight_0_is_not_learned_where_all_is():
    asked, answer, *more = TURNS
    turns = (asked, Message("assistant", answer.content, learned=False), *more)

    one = encoded(CHATML, turns, "All")

    everything = CHATML.said(one.input_ids)
    assert learned(CHATML, one) == everything.replace(answer.content + "<|im_end|>", "")


def test_a_row_of_which_nothing_is_learned_supervises_nothing():
    turns = (TURNS[0], Message("assistant", "Paris.", learned=False))

    assert encoded(CHATML, turns).supervised == 0


def test_only_the_last_turn_is_learned_where_the_completion_is_asked_for():
    one = encoded(CHATML, TURNS, "Completion")

    assert learned(CHATML, one) == composed(CHATML, TURNS[3].content + "<|im_end|>")


def test_everything_is_learned_where_all_is_asked_for():
    one = encoded(CHATML, TURNS, "All")

    assert one.labels == one.input_ids


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name != "gpt-oss"], ids=lambda case: case.name
)
def test_a_question_after_the_last_answer_is_not_learned(case):
    turns = (*TURNS, Message("user", "Thanks"))

    one = encoded(case, turns)

    first, last = (case.learned(turn.content, last=False) for turn in (TURNS[1], TURNS[3]))
    assert learned(case, one) == composed(case, first + last)
    assert "Thanks" in case.said(one.input_ids)


@pytest.mark.parametrize("name", ["qwen3.5-nothink", "cohere2", "llama2"])
def test_an_answer_that_looks_like_the_header_is_found_where_it_is(name):
    case = BY_NAME[name]
    turns = (Message("user", "assistant"), Message("assistant", "assistant"))

    one = encoded(case, turns)

    assert learned(case, one) == answers(case, turns)


@pytest.mark.parametrize(
    "said", [" two spaces ", "\nline", "\n\n\nlines\n\n", "tab\t", "e\u0301", "\u0301 alone"]
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_space_around_an_answer_is_learned_as_the_template_writes_it(case, said):
    turns = (TURNS[0], Message("assistant", said), TURNS[2], Message("assistant", said))

    one = encoded(case, turns)

    assert learned(case, one) == answers(case, turns)


def test_a_template_without_an_end_of_turn_gets_one():
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    case = Case(
        name="endless", family=None, template=template, kind="bytes", special=(), end="</s>", eos="</s>"
    )
    renderer = case.renderer()

    (one,) = Tokeniser(case.tokenizer, renderer).encode(
        [Example(Place("a", 1), Conversation(TURNS[:2], 1), "Assistant")]
    )

    assert learned(case, one).endswith("Seine: a river.</s>")
    assert renderer.endless == 1


def test_plain_text_is_learned_whole_and_ends():
    case = BY_NAME["plain"]

    (one,) = Tokeniser(case.tokenizer, case.renderer()).encode([Example(Place("a", 1), Text("Once."), "All")])

    assert case.said(one.input_ids).strip() == "Once.</s>"
    assert one.labels == one.input_ids


@pytest.mark.parametrize("name", ["llama3", "chatml", "mistral-0.3", "llama2", "gemma"])
def test_a_completion_keeps_all_its_tokens_where_the_tokenizer_would_merge_over_the_border(name):
    case = BY_NAME[name]
    tokenizer = case.tokenizer
    example = Example(Place("a", 1), Continuation("x = ret", "urn 1"), "Completion")

    (one,) = Tokeniser(tokenizer, case.renderer()).encode([example])

    joined = tokenizer("x = return 1", add_special_tokens=False).tokens()
    assert any("return" in token for token in joined), "nothing would merge here"
    assert learned(case, one) == "urn 1" + tokenizer.eos_token
    assert case.said(one.input_ids).strip() == "x = return 1" + tokenizer.eos_token


def test_prompts_are_what_stands_before_an_answer():
    for case in CASES:
        renderer = case.renderer()
        rendered = renderer.render(Conversation(TURNS, 3), Place("a", 1))
        start = rendered.spans[-1][0]
        prompt = renderer.prompt(TURNS[:3]).rstrip("\n")
        # Zephyr's prompt lacks the line end behind its header, and DeepSeek's begins a thought: such are their templates.
        before = rendered.text[:start].rstrip("\n")
        assert before in {prompt, prompt.removesuffix("<think>")} or "marked" in case.name, case.name


def test_templates_of_ours_are_written_as_the_originals_are():
    """A slip of the pen in a test's template would prove nothing; the ones that TRL has are read from there."""
    own = [
        case.name
        for case in CASES
        if case.template not in {shipped(path.stem) for path in chat_families.SHIPPED.glob("*.jinja")}
    ]
    assert len(own) < len(CASES) * 0.6
