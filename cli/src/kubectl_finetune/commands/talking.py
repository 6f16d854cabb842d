"""Commands that load a result on this machine: chat and serve."""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finetune_operator.status.serving import VLLM_RANKS
from kubectl_finetune import bucket, errors, screen
from kubectl_finetune.cluster import Cluster
from kubectl_finetune.commands import options
from kubectl_finetune.commands.looking import keys_of, published_at
from kubectl_finetune.local import machine, stage
from kubectl_finetune.talking import result as results
from kubectl_finetune.talking import serve as serving
from kubectl_finetune.talking.answer import SIDES, Manner, Message, Side
from kubectl_finetune.talking.result import Result
from kubectl_finetune.views import colours
from kubectl_finetune.views.job import Job

if TYPE_CHECKING:
    from kubectl_finetune.talking.model import Talker

LEAVE = {"/exit", "/quit"}


def which(command: options.Command) -> options.Command:
    """The argument RESULT, and where its base model is."""
    command = click.option(
        "--base", metavar="DIR|URI", help="The base model, if it is not where the result says."
    )(command)
    return click.argument("place", metavar="RESULT", shell_complete=options.job_names)(command)


@click.command()
@which
@click.option(
    "--prompt", "prompts", multiple=True, metavar="TEXT", help="Ask this and end; may be given several times."
)
@click.option("--system", metavar="TEXT", help="What stands before the conversation.")
@click.option("--only", type=click.Choice(SIDES), help="One of the two alone.")
@click.option(
    "--max-new-tokens", type=click.IntRange(1), default=256, show_default=True, help="Longest answer."
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 2),
    default=0.0,
    show_default=True,
    help="0: always the likeliest token.",
)
@click.option("--seed", type=click.IntRange(0), help="The same dice again.")
@options.output
@options.to_cluster_if_needed
def chat(
    cluster: options.Connect,
    *,
    place: str,
    base: str | None,
    prompts: tuple[str, ...],
    system: str | None,
    only: Side | None,
    json_wanted: bool,
    **manner: Any,
) -> None:
    """Talk to base and tuned model side by side, on this machine.

    RESULT is a job of the cluster, the folder of a run on this machine, or the
    folder of a result. Without --prompt each line of the input is a question.
    """
    talker = _talker(_result(cluster, place), base)
    sides = [only] if only else list(SIDES)
    talks: dict[Side, list[Message]] = {
        side: [{"role": "system", "content": system}] if system else [] for side in sides
    }
    for question in prompts or _questions():
        for talk in talks.values():
            talk.append({"role": "user", "content": question})
        said = _answers(talker, talks, manner, json_wanted=json_wanted)
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
    talker: "Talker", talks: dict[Side, list[Message]], manner: dict[str, Any], *, json_wanted: bool
) -> dict[Side, str]:
    """What each side says, shown as it comes on a terminal."""
    how = Manner(**manner)
    said: dict[Side, str] = dict.fromkeys(talks, "")
    console = screen.console()
    if not console.is_terminal or json_wanted:
        for side, talk in talks.items():
            said[side] = talker.answer(talk, side, how).text
            if not json_wanted:
                screen.say(f"{side + ':':<6} {said[side]}")
        return said
    with Live(_columns(said), console=console, auto_refresh=False) as live:
        for side, talk in talks.items():

            def hear(text: str, side: Side = side) -> None:
                said[side] += text
                live.update(_columns(said), refresh=True)

            said[side] = talker.answer(talk, side, how, hear).text
            live.update(_columns(said), refresh=True)
    return said


def _columns(said: dict[Side, str]) -> Table:
    """Side by side."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0), expand=True)
    for side in said:
        made.add_column(
            side, ratio=1, overflow="fold", header_style=colours.WORKING if side == "tuned" else "dim"
        )
    made.add_row(*(Text(text) for text in said.values()))
    return made


def _talker(result: Result, base: str | None) -> "Talker":
    stage.available()
    from kubectl_finetune.talking.model import Talker  # noqa: PLC0415 - torch takes seconds to import

    screen.note(f"loading {result.name} ...")
    return Talker(result, results.base_of(result, base))


def _result(cluster: options.Connect, place: str) -> Result:
    """The result in the folder of that name, or of the job of that name in the cluster."""
    if Path(place).is_dir():
        return results.at(Path(place))
    return _fetched(cluster(), place)


def _fetched(cluster: Cluster, name: str) -> Result:
    """The job's result, in the user's cache: what is there already is not fetched again."""
    job = Job.of(cluster.job(name))
    uri = published_at(job)
    if uri.startswith(results.FILE):
        return results.at(Path(uri.removeprefix(results.FILE)))
    digest = (job.status.adapter.digest if job.status.adapter else job.uid).rpartition(":")[2]
    folder = _cache() / f"{name}-{digest[:16]}"
    if not (folder / results.MANIFEST).is_file():
        screen.note(f"fetching {uri} ...")
        bucket.fetch(uri, keys_of(cluster, job), folder, last=results.MANIFEST)
    return results.at(folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubectl-finetune"


@click.command()
@which
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N", help="0: any."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "transformers", "vllm"]),
    default="auto",
    show_default=True,
    help="auto: vLLM where it and a GPU are.",
)
@options.to_cluster_if_needed
def serve(
    cluster: options.Connect, *, place: str, base: str | None, host: str, port: int, engine: str
) -> None:
    """Answer OpenAI's /v1/chat/completions on this machine.

    The tuned model is called by the job's name, the other one `base`.
    """
    result = _result(cluster, place)
    there = shutil.which("vllm")
    if engine == "vllm" and there is None:
        raise errors.Outside("vLLM is not installed here; leave --engine out, or install it")
    if there and engine != "transformers" and (engine == "vllm" or machine.here(Path.cwd()).gpu_memory_bytes):
        os.execv(there, vllm_command(there, result, results.base_of(result, base), host=host, port=port))  # noqa: S606 - no shell
    talker = _talker(result, base)
    made = serving.server(
        result.name,
        talker.answer,
        host=host,
        port=port,
    )
    screen.say(f"http://{host}:{made.server_address[1]}/v1 serves {result.name} and base; Ctrl-C ends")
    with made:
        made.serve_forever()


def vllm_command(
    program: str, result: Result, base: tuple[str, str | None], *, host: str, port: int
) -> list[str]:
    """VLLM's own server for the same: the adapter over its base, or the whole weights."""
    listen = ("--host", host, "--port", str(port))
    if result.full:
        return [program, "serve", str(result.folder), "--served-model-name", result.name, *listen]
    place, revision = base
    rank = next((one for one in VLLM_RANKS if one >= (result.rank or 1)), None)
    if rank is None:
        raise errors.Mistake(
            f"vLLM takes adapters of rank {VLLM_RANKS[-1]} at most, this one has {result.rank}; use --engine transformers"
        )
    chosen = ("--revision", revision) if revision else ()
    adapter = (
        "--enable-lora",
        "--max-lora-rank",
        str(rank),
        "--lora-modules",
        f"{result.name}={result.folder}",
    )
    return [program, "serve", place, *chosen, "--served-model-name", serving.BASE, *adapter, *listen]


COMMANDS: Iterable[click.Command] = (chat, serve)
