"""What is served on this machine: where the base model is, vLLM's command line, a port that is taken."""

import socket

import pytest

import terminal
from kubectl_finetune import errors
from kubectl_finetune.talking import vllm
from kubectl_finetune.talking.result import Result, base_of


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = terminal.Terminal(tmp_path, tmp_path / "none").type("serve", ".", "--port", str(port))

    assert done.exit_code == 69
    assert (
        done.stderr
        == f"error: cannot listen on 127.0.0.1:{port} (taken, not allowed, or not an address of this machine); "
        "choose another --port or --host\n"
    )


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
def test_where_the_base_model_is(tmp_path, monkeypatch, base, said, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    assert base_of(result(tmp_path, base), said) == found


def test_a_base_that_is_not_there_is_said_before_anything_is_loaded(tmp_path):
    with pytest.raises(errors.NotThere, match="--base: there is no folder /nowhere"):
        base_of(result(tmp_path), "/nowhere")


def test_a_base_in_a_bucket_must_be_fetched(tmp_path):
    with pytest.raises(errors.Mistake, match="--base DIR"):
        base_of(result(tmp_path, "s3://bucket/base"), None)


def test_vllm_gets_the_adapter_over_its_base_or_the_whole_weights(tmp_path):
    given = {"host": "127.0.0.1", "port": 8000}

    adapter = vllm.command("vllm", result(tmp_path), ("org/name", "abc"), **given)
    whole = vllm.command("vllm", result(tmp_path, full=True), ("org/name", None), **given)

    assert adapter[:5] == ["vllm", "serve", "org/name", "--revision", "abc"]
    assert adapter[adapter.index("--max-lora-rank") + 1] == "16"
    assert f"bot={tmp_path}" in adapter
    assert whole[:5] == ["vllm", "serve", str(tmp_path), "--served-model-name", "bot"]


def test_a_rank_that_vllm_does_not_take_is_said(tmp_path):
    with pytest.raises(errors.Mistake, match="--engine transformers"):
        vllm.command("vllm", result(tmp_path, rank=1024), ("org/name", None), host="", port=1)
