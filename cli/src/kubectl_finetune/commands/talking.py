"""Commands that talk with a result: chat and serve, in a pod beside the job or on this machine."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kubectl_finetune import errors, screen
from kubectl_finetune.commands import options, placing
from kubectl_finetune.local import machine
from kubectl_finetune.talking import result as results
from kubectl_finetune.talking import server, vllm
from kubectl_finetune.talking.client import SIDES, Client, Manner, Message, Side
from kubectl_finetune.views import colours

LEAVE = {"/exit", "/quit"}
LOOPBACK = "127.0.0.1"


@click.command()
@placing.which
@click.option(
    "--prompt", "prompts", multiple=True, metavar="TEXT", help="Ask this and end; may be given several times."
)
@click.option("--system", metavar="TEXT", help="System prompt of the conversation.")
@click.option("--only", type=click.Choice(SIDES), help="Ask only the base model, or only the tuned one.")
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Longest answer, in tokens.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.0,
    show_default=True,
    help="How freely tokens are drawn; 0: always the likeliest.",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of the draw: the same one gives the same answers.")
@options.output
@options.to_cluster_if_needed
def chat(
    cluster: options.Connect,
    *,
    place: str,
    base: str | None,
    in_cluster: bool | None,
    prompts: tuple[str, ...],
    system: str | None,
    only: Side | None,
    json_wanted: bool,
    max_new_tokens: int,
    temperature: float,
    seed: int | None,
    **pod: Any,
) -> None:
    """Talk to base and tuned model side by side.

    RESULT is a job of the cluster, the folder of a run on this machine, or the
    folder of a result. Without --prompt each line of the input is a question.
    """
    manner = Manner(max_new_tokens, temperature, seed)
    with placing.start(cluster, place, base, inside=in_cluster, pod=pod)(LOOPBACK, 0) as started:
        model = server.ready(started)
        with model.kept_awake():
            _converse(model, prompts, manner, system=system, only=only, json_wanted=json_wanted)


def _converse(
    model: Client,
    prompts: tuple[str, ...],
    manner: Manner,
    *,
    system: str | None,
    only: Side | None,
    json_wanted: bool,
) -> None:
    """Question after question; each side keeps its own conversation."""
    sides = [only] if only else list(SIDES)
    talks: dict[Side, list[Message]] = {
        side: [{"role": "system", "content": system}] if system else [] for side in sides
    }
    for question in prompts or _questions():
        for talk in talks.values():
            talk.append({"role": "user", "content": question})
        said = _answers(model, talks, manner, json_wanted=json_wanted)
        for side, text in said.items():
            talks[side].append({"role": "assistant", "content": text})
        if json_wanted:
            screen.as_json({"prompt": question, **said})


def _questions() -> Iterator[str]:
    """Lines of the input; a person is asked for them."""
    if not screen.interactive():
        yield from (line.strip() for line in sys.stdin if line.strip())
        return
    screen.note("Ask something; Ctrl-D or /exit ends.")
    while True:
        try:
            line = click.prompt("you", prompt_suffix="> ", err=True).strip()
        except click.Abort:
            return
        if line in LEAVE:
            return
        yield line


def _answers(
    model: Client, talks: dict[Side, list[Message]], manner: Manner, *, json_wanted: bool
) -> dict[Side, str]:
    """What each side says, shown as it comes on a terminal."""
    said: dict[Side, str] = dict.fromkeys(talks, "")
    console = screen.console()
    if not console.is_terminal or json_wanted:
        for side, talk in talks.items():
            said[side] = model.ask(side, talk, manner)
            if not json_wanted:
                screen.say(f"{side + ':':<6} {said[side]}")
        return said
    with Live(_columns(said), console=console, auto_refresh=False) as live:
        for side, talk in talks.items():

            def hear(text: str, side: Side = side) -> None:
                said[side] += text
                live.update(_columns(said), refresh=True)

            said[side] = model.ask(side, talk, manner, hear)
            live.update(_columns(said), refresh=True)
    return said


def _columns(said: dict[Side, str]) -> Table:
    """Side by side."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True)
    for side in said:
        made.add_column(
            side, ratio=1, overflow="fold", header_style=colours.WORKING if side == "tuned" else "dim"
        )
    made.add_row(*(Text(text) for text in said.values()))
    made.add_row("")
    return made


@click.command()
@placing.which
@click.option("--host", default=LOOPBACK, show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N", help="0: any."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "transformers", "vllm"]),
    default="auto",
    show_default=True,
    help="Server on this machine; auto: vLLM if it is installed and there is a GPU, else transformers.",
)
@options.to_cluster_if_needed
def serve(
    cluster: options.Connect,
    *,
    place: str,
    base: str | None,
    in_cluster: bool | None,
    host: str,
    port: int,
    engine: str,
    **pod: Any,
) -> None:
    """Answer OpenAI's /v1/chat/completions on this machine.

    The tuned model is called by the job's name, the other one `base`.
    """
    if port and not machine.is_free(host, port):
        raise errors.Outside(
            f"cannot listen on {host}:{port} (taken, not allowed, or not an address of this machine); choose another "
            "--port or --host"
        )
    is_here = Path(place).is_dir() or in_cluster is False
    if engine == "vllm" and not is_here:
        raise errors.Mistake("--engine vllm works on this machine: use --here; the pod has no vLLM")
    if is_here and engine != "transformers":
        _hand_over_to_vllm(cluster, place, base, host=host, port=port, demanded=engine == "vllm")
    with (
        placing.start(cluster, place, base, inside=in_cluster, pod=pod)(host, port) as started,
        server.ready(started).kept_awake(),
    ):
        screen.say(f"http://{host}:{started.port}/v1 serves {started.name} and base; Ctrl-C ends")
        server.until_ctrl_c(started)


def _hand_over_to_vllm(
    cluster: options.Connect, place: str, base: str | None, *, host: str, port: int, demanded: bool
) -> None:
    """Become vLLM's server, where vLLM and a GPU are or where it is `demanded`."""
    there = shutil.which("vllm")
    if demanded and there is None:
        raise errors.Outside("vLLM is not installed here; leave --engine out, or install it")
    if there and (demanded or machine.here(Path.cwd()).gpu_memory_bytes):
        result = placing.result_of(cluster, place)
        os.execv(there, vllm.command(there, result, results.base_of(result, base), host=host, port=port))  # noqa: S606 - no shell


COMMANDS: Iterable[click.Command] = (chat, serve)
