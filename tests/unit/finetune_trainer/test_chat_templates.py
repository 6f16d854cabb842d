"""A chat template that cannot be used is told before a row is read: spec.model.chatTemplate's, or the model's own."""

import pickle

import pytest
from transformers.utils import chat_template_utils

import families_page
import trainer_tiny_model
from chat_families import BY_NAME, CASES
from finetune_trainer import errors
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.rows import Conversation, Message, Place

FIELD = "spec.model.chatTemplate"
TURNS = (Message("user", "Who?"), Message("assistant", "Nobody."))
HEAD = "<|im_start|>{{ m.role }}\n"
GOOD = trainer_tiny_model.CHAT_TEMPLATE


def renderer(template: str) -> Renderer:
    return Renderer(template, {"eos_token": "<|im_end|>"}, end_tokens=["<|im_start|>", "<|im_end|>"])


@pytest.mark.parametrize(
    ("template", "says"),
    [
        (
            "{% for m in messages %}\n{{ m.content }}\n{% endfro %}",
            r"^spec\.model\.chatTemplate: line 3 is not valid Jinja \(.*endfro.*\); correct the template$",
        ),
        ("{{ messages[0] | shout }}", r"line 1 is not valid Jinja \(No filter named 'shout'"),
        ("{{ raise_exception('never') }}", r"chatTemplate: refuses a small conversation of user and assistant.*\(never\)"),
        ("{{ nobody.knows }}", r"refuses a small conversation of user and assistant.*'nobody' is undefined"),
        ("hello", r"leaves out the words of messages\[0\] \(of role user\) of a small conversation; let it write"),
        (
            "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}",
            r"leaves out the words of messages\[1\] \(of role assistant\)",
        ),
        (
            "{% for m in messages %}{{ m.content | upper }}{{ m.content }}{{ '' if m.content[-1] > '~' else '!' }}{% endfor %}",
            r"cannot be told apart from the rest; set spec\.model\.chatTemplate to one that puts \{% generation %\} and",
        ),
        (
            "{% for m in messages %}" + HEAD + "{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>\n{% endfor %}",
            r"cannot be told apart from the rest",
        ),
        (
            "{% for m in messages %}" + HEAD + "{{ m.content }}<|im_end|>\n{% endfor %}",
            r"does not open the assistant's turn: .* must end with '<\|im_start\|>assistant', as before every answer",
        ),
    ],
    ids=["syntax", "filter", "refuses", "undefined", "says nothing", "no answers", "tells answers apart", "marks all", "no prompt"],
)  # fmt: skip
def test_a_template_that_cannot_be_used_is_told(template, says):
    with pytest.raises(errors.InvalidChatTemplate, match=says):
        renderer(template).check(FIELD)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_templates_of_every_family_pass(case):
    made = case.renderer()

    made.check(FIELD)

    assert (made.endless, made.literal) == (0, 0)


def test_a_template_that_only_knows_one_question_passes():
    one = "{% if messages | length > 2 %}{{ raise_exception('one question') }}{% endif %}" + GOOD

    renderer(one).check(FIELD)


def test_a_template_that_wants_a_system_turn_passes():
    strict = "{% if messages[0].role != 'system' %}{{ raise_exception('say who you are') }}{% endif %}" + GOOD

    renderer(strict).check(FIELD)


def test_rendering_is_that_of_transformers():
    """Its private parts are used, which is faster: they must do what its public part does."""
    for case in CASES:
        if "strftime_now" in case.template:
            continue
        words = {
            "bos_token": case.tokenizer.bos_token,
            "eos_token": case.tokenizer.eos_token,
            "date_string": "26 Jul 2024",
        }
        words = {name: token for name, token in words.items() if token}
        turns = [turn.wire() for turn in TURNS]
        (text,), _ = chat_template_utils.render_jinja_template([turns], chat_template=case.template, **words)

        assert case.renderer().render(Conversation(TURNS, 1), Place("a", 1)).text == text


def test_the_date_is_always_the_same():
    """Templates that write today's date would give other tokens in the second attempt than in the first."""
    template = "{{ strftime_now('%Y-%m-%d') }} {{ date_string }}\n" + GOOD

    rendered = renderer(template).render(Conversation(TURNS, 1), Place("a", 1))

    assert rendered.text.startswith("2024-07-26 26 Jul 2024")


def test_a_template_cannot_reach_out_of_its_sandbox():
    with pytest.raises(errors.InvalidRow, match="refuses"):
        renderer("{{ messages.__class__.__mro__[1].__subclasses__() }}").render(
            Conversation(TURNS, 1), Place("a", 1)
        )


def test_a_renderer_goes_to_other_processes():
    case = BY_NAME["qwen3"]
    made = case.renderer()
    before = made.render(Conversation(TURNS, 1), Place("a", 1))

    sent = pickle.loads(pickle.dumps(made))  # noqa: S301 - pickled right here
    again = sent.render(Conversation(TURNS, 1), Place("a", 1))

    assert again == before


def test_rows_do_not_change_what_the_next_ones_give():
    """Worker processes see rows in any order; the family that fitted last is only asked first."""
    rows = [
        Conversation((Message("user", "a"), Message("assistant", said)), 1)
        for said in ("b", " b", "b ", "<think>\n\n</think>\n\nb", "\nb")
    ]
    for case in CASES:
        made = case.renderer()
        forth = [made.render(row, Place("a", 1)) for row in rows]
        back = [made.render(row, Place("a", 1)) for row in reversed(rows)]
        assert forth == back[::-1], case.name


def test_the_page_lists_the_families_as_they_are():
    assert families_page.PATH.read_text() == families_page.text(), (
        "run `python tests/support/families_page.py`"
    )


def test_the_template_of_the_page_is_good_and_marks_what_is_said():
    template = families_page.PATH.read_text().split("```jinja\n")[1].split("```")[0]
    made = renderer(template)

    made.check(FIELD)

    rendered = made.render(Conversation(TURNS, 1), Place("a", 1))
    assert [rendered.text[start:end] for start, end in rendered.spans] == ["Nobody.<|im_end|>"]
