"""Masks of real rows on SmolLM2's own tokenizer, held against answers that are tokenised on their own."""

import json

import pytest
from transformers import AutoTokenizer

import real_rows
import smollm2
from chat_families import SMOLLM2, shipped
from finetune_trainer import config
from finetune_trainer.data import meaning, readers
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.rows import Example, Place
from finetune_trainer.data.tokenise import IGNORED, Tokeniser

pytestmark = pytest.mark.slow

FILES = ["alpaca_en_demo.json", "alpaca_zh_demo.json", "v1_sft_demo.jsonl", "glaive_toolcall_en_demo.json"]


def rows(name: str, folder):
    (folder / name).write_bytes(real_rows.demos()[name])
    run = config.Run.model_construct(method="SFT", training=config.Training())
    source = config.DataSource.model_validate({"uri": "s3://b/x"})
    first, *others = readers.read(folder / name, name)
    found = meaning.found(first, source, "spec.dataset.train[0]", run, chat=True)
    return [found.example(row).content for row in (first, *others)]


@pytest.fixture(scope="module")
def words():
    return AutoTokenizer.from_pretrained(smollm2.folder())


def alone(words, message) -> list[int]:
    """What a turn should teach, told without a template."""
    said = message.content
    for call in dict(message.more).get("tool_calls", ()):
        function = call["function"]
        arguments = function["arguments"]
        arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        said += "\n" if said else ""
        told = json.dumps(arguments, ensure_ascii=False)
        said += f'<tool_call>\n{{"name": "{function["name"]}", "arguments": {told}}}\n</tool_call>'
    return words(said, split_special_tokens=True)["input_ids"] + [words.convert_tokens_to_ids("<|im_end|>")]


@pytest.mark.parametrize("name", FILES)
def test_each_answer_is_learned_token_by_token(name, words, tmp_path):
    template = shipped("qwen2_5") if "toolcall" in name else SMOLLM2
    renderer = Renderer(
        template, {"eos_token": words.eos_token}, end_tokens=["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    )
    contents = rows(name, tmp_path)
    examples = [Example(Place(name, at + 1), content, "Assistant") for at, content in enumerate(contents)]

    for example, one in zip(examples, Tokeniser(words, renderer).encode(examples), strict=True):
        wanted = [
            token
            for message in example.content.messages
            if message.role == "assistant"
            for token in alone(words, message)
        ]
        assert [label for label in one.labels if label != IGNORED] == wanted, str(example.place)
        assert all(a == b for a, b in zip(one.labels, one.input_ids, strict=True) if a != IGNORED)
    assert renderer.endless == 0
