"""The OpenAI client against our server, with a model that says what it is told to."""

import threading

import openai
import pytest

import web_server
from kubectl_finetune import errors
from kubectl_finetune.commands import talking
from kubectl_finetune.talking import serve
from kubectl_finetune.talking.answer import Answer, Manner
from kubectl_finetune.talking.result import Result, base_of


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
def client(parrot):
    with serve.server("support-bot", parrot, host="127.0.0.1", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(web_server.CLOSED_WITHIN,))
        thread.start()
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{server.server_address[1]}/v1", api_key="none", max_retries=0
        ) as client:
            yield client
        server.shutdown()
        thread.join()


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
        ({"model": "gpt"}, openai.NotFoundError, "there is no model 'gpt'; there are support-bot, base"),
        ({"messages": []}, openai.BadRequestError, "messages: must be a list of at least one"),
        ({"messages": [{"role": "user"}]}, openai.BadRequestError, "messages[0]: must be {role, content}"),
        ({"temperature": 9}, openai.BadRequestError, "temperature: must be a number from 0.0 to 2.0"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens: must be a number from 1"),
        ({"n": 2}, openai.BadRequestError, "n: one answer is given"),
    ],
)
def test_a_request_that_cannot_be_is_refused_in_a_sentence(client, parrot, given, error, said):
    with pytest.raises(error) as told:
        asked(client, **given)

    assert said in str(told.value)
    assert parrot.asked == []


def test_a_port_that_is_taken_is_said(parrot):
    with serve.server("a", parrot, host="127.0.0.1", port=0) as first:
        port = first.server_address[1]
        with pytest.raises(
            errors.Outside, match=f"cannot listen on 127.0.0.1:{port}: .*; choose another --port"
        ):
            serve.server("b", parrot, host="127.0.0.1", port=port)


def result(folder, base="hf://org/name", **given):
    return Result(
        **{
            "folder": folder,
            "name": "bot",
            "base": base,
            "revision": "abc",
            "full": False,
            "rank": 12,
            **given,
        }
    )


@pytest.mark.parametrize(
    ("base", "said", "found"),
    [
        ("hf://org/name", None, ("org/name", "abc")),
        ("hf://org/name", "hf://org/other@v1", ("org/other", "v1")),
        ("file:///models/tiny", None, ("/models/tiny", None)),
        ("s3://bucket/base", "./base", ("./base", None)),
    ],
)
def test_where_the_base_model_is(tmp_path, base, said, found):
    assert base_of(result(tmp_path, base), said) == found


def test_a_base_in_a_bucket_must_be_fetched(tmp_path):
    with pytest.raises(errors.Mistake, match="--base DIR"):
        base_of(result(tmp_path, "s3://bucket/base"), None)


def test_vllm_gets_the_adapter_over_its_base_or_the_whole_weights(tmp_path):
    given = {"host": "127.0.0.1", "port": 8000}

    adapter = talking.vllm_command("vllm", result(tmp_path), ("org/name", "abc"), **given)
    whole = talking.vllm_command("vllm", result(tmp_path, full=True), ("org/name", None), **given)

    assert adapter[:5] == ["vllm", "serve", "org/name", "--revision", "abc"]
    assert adapter[adapter.index("--max-lora-rank") + 1] == "16"
    assert f"bot={tmp_path}" in adapter
    assert whole[:5] == ["vllm", "serve", str(tmp_path), "--served-model-name", "bot"]


def test_a_rank_that_vllm_does_not_take_is_said(tmp_path):
    with pytest.raises(errors.Mistake, match="--engine transformers"):
        talking.vllm_command("vllm", result(tmp_path, rank=1024), ("org/name", None), host="", port=1)
