"""The OpenAI client against our server, with a model that says what it is told to."""

import openai
import pytest

from finetune_trainer.talking import server
from finetune_trainer.talking.answer import Answer, Manner


class Parrot:
    """Says what was asked, and remembers how."""

    def __init__(self):
        self.asked = []

    def __call__(self, messages, side, manner, hear):
        self.asked.append((messages, side, manner))
        text = f"{side}: {messages[-1]['content']}"
        for piece in (text[:4], text[4:]):
            hear(piece)
        return Answer(text, prompt_tokens=7, tokens=3, ended=manner.max_new_tokens > 3)


@pytest.fixture
def parrot():
    return Parrot()


@pytest.fixture
def service():
    with server.listening("127.0.0.1", 0) as service:
        yield service


@pytest.fixture
def client(service, parrot):
    service.open("support-bot", parrot)
    with client_of(service) as client:
        yield client


def client_of(service):
    return openai.OpenAI(
        base_url=f"http://127.0.0.1:{service.server_address[1]}/v1", api_key="none", max_retries=0
    )


def asked(client, **given):
    talk = [{"role": "user", "content": "Grüße"}]
    return client.chat.completions.create(**{"model": "support-bot", "messages": talk, **given})


def test_the_models_are_the_job_and_its_base(client):
    assert [one.id for one in client.models.list()] == ["support-bot", "base"]


@pytest.mark.parametrize(("model", "side"), [("support-bot", "tuned"), ("base", "base")])
def test_an_answer_says_what_it_took(client, model, side):
    done = asked(client, model=model)

    assert (done.model, done.choices[0].message.content, done.choices[0].finish_reason) == (
        model,
        f"{side}: Grüße",
        "stop",
    )
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (7, 3, 10)


def test_a_stream_brings_the_pieces_and_the_reason_of_its_end(client):
    chunks = list(asked(client, stream=True, max_tokens=3))

    assert [one.choices[0].delta.content for one in chunks] == ["", "tune", "d: Grüße", None]
    assert chunks[-1].choices[0].finish_reason == "length"


def test_the_manner_of_the_answer_is_heard(client, parrot):
    content = [{"type": "text", "text": "one "}, {"type": "text", "text": "two"}]
    asked(
        client,
        messages=[{"role": "user", "content": content}],
        temperature=0.5,
        top_p=0.9,
        seed=3,
        max_completion_tokens=5,
    )

    assert parrot.asked == [([{"role": "user", "content": "one two"}], "tuned", Manner(5, 0.5, 0.9, 3))]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"model": "gpt"},
            openai.NotFoundError,
            "there is no model 'gpt'; set model to one of support-bot, base",
        ),
        ({"messages": []}, openai.BadRequestError, "messages: must be a list of at least one"),
        ({"messages": [{"role": "user"}]}, openai.BadRequestError, "messages[0]: must be {role, content}"),
        ({"temperature": 9}, openai.BadRequestError, "temperature: must be a number from 0.0 to 2.0"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens: must be a number from 1"),
        ({"n": 2}, openai.BadRequestError, "n: must be 1"),
    ],
)
def test_a_request_that_cannot_be_is_refused_in_a_sentence(client, parrot, given, error, said):
    with pytest.raises(error) as told:
        asked(client, **given)

    assert said in str(told.value)
    assert parrot.asked == []


def test_before_it_is_ready_it_says_what_it_waits_for(service):
    service.tell("fetching the base model: 1.2 of 4.9 GiB")

    with client_of(service) as client, pytest.raises(openai.InternalServerError) as told:
        asked(client)

    assert told.value.status_code == 503
    assert "not ready yet: fetching the base model: 1.2 of 4.9 GiB" in str(told.value)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_breaks_is_told_to_whoever_asked(service, stream):
    def broken(*_):
        raise RuntimeError("too long")

    service.open("support-bot", broken)
    with client_of(service) as client, pytest.raises(openai.APIError) as told:
        list(asked(client, stream=stream))

    assert "the model could not answer (RuntimeError: too long)" in str(told.value)


def test_it_knows_how_long_nobody_has_asked_anything(service, client):
    before = service.silent_for()
    client.models.list()

    assert service.silent_for() < before
