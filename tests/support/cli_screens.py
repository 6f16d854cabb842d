"""What `kubectl finetune` looks like at a terminal of 80 x 24: docs/screens/*.svg.

`python tests/support/cli_screens.py` runs the program at such a terminal, against a fake API server, types what a person types, and
draws what is on the screen then. A test looks whether everything fits, and whether the pictures are those in the folder.
"""

import asyncio
import io
import os
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.style import Style
from rich.text import Text

import fake_api_server
import kube_objects
import pseudo_terminal
import talking_pods
import terminal
from finetune_operator.observe import times
from finetune_trainer.talking import server as talking_server
from finetune_trainer.talking.answer import Answer

FOLDER = terminal.ROOT / "docs" / "screens"
THEN = datetime(2026, 11, 22, 11, 39, 5, tzinfo=UTC)
"""The time at which the objects of the tests are as old as they are to look; most of a minute is left for each picture."""
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
COLOURS = {"brown": "yellow", "default": "default"}
"""What pyte calls otherwise than rich."""
FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: monospace; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" /></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
"""rich's own, without fonts from elsewhere."""

ADVICE = [
    "1,140 rows are a good start for SFT; more of the kind that it gets wrong help most",
    "12 rows are longer than 1,024 tokens and were cut (first: tickets.jsonl line 88); raise spec.training.maxLength",
    "3 rows are the same as an earlier one and were left out (first: tickets.jsonl line 17)",
]


class Shot(NamedTuple):
    """One picture."""

    words: tuple[str, ...]
    typed: tuple[tuple[str, str], ...] = ()
    """What has to be shown, and what is typed then."""
    shows: str = ""
    """What has to be shown at last; empty: the program ends by itself."""
    since: str = ""
    """The line that the picture begins with."""


SHOTS = {
    "create": Shot(
        ("create",),
        (
            ("Name of the job", "titles\n"),
            ("Base model", "hf://Qwen/Qwen3-0.6B\n"),
            ("Training data", "s3://team-a/titles.jsonl\n"),
            ("Method", "\n"),
            ("Where the result goes", "s3://team-a/adapters/titles\n"),
            ("Secret", "bucket\n"),
            ("GPUs", "1\n"),
        ),
        shows="Create it",
    ),
    "list": Shot(("list",)),
    "status": Shot(("status", "titles")),
    "status-succeeded": Shot(("status", "support-bot")),
    "status-failed": Shot(("status", "translator")),
    "watch": Shot(("watch", "titles"), shows="120/500"),
    "diff": Shot(("diff", "support-bot", "second")),
    "chat": Shot(
        ("chat", "support-bot"),
        (("you>", "Where is my order?\n"), ("order number", "It is 4711.\n")),
        shows="left today",
        since="you>",
    ),
    "refused": Shot(("report", "titles")),
}

ANSWERS = {
    "base": ("I'm sorry to hear that. Could you tell me more about it?", "What is 4711?"),
    "tuned": ("Happy to look. What is the order number?", "It left today and will be with you tomorrow."),
}


def _answer(messages: list[dict[str, str]], side: str, _: Any, hear: Callable[[str], None]) -> Answer:
    """A model that has two answers."""
    text = ANSWERS[side][sum(one["role"] == "assistant" for one in messages)]
    hear(text)
    return Answer(text, prompt_tokens=1, tokens=1, ended=True)


def _job(name: str, said: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A job of an hour and a half ago, which shares nothing with another one."""
    status = {**said, "dataset": {**said["dataset"], "advice": ADVICE}} if "dataset" in said else dict(said)
    if "adapter" in said:
        status["adapter"] = {**said["adapter"], "uri": f"s3://team-a/adapters/{name}"}
    job = kube_objects.fine_tune_job(name, uid=f"uid-{name}", status=status, **spec)
    job = kube_objects.merged(job, {"spec": {"output": {"uri": f"s3://team-a/adapters/{name}"}}})
    return _aged(kube_objects.merged({}, job))


def _aged(value: Any) -> Any:
    """`value` with each time in it as long ago as it was at THEN."""
    if isinstance(value, dict):
        return {name: _aged(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_aged(one) for one in value]
    if isinstance(value, str) and STAMP.fullmatch(value):
        return times.stamp((datetime.fromisoformat(value) + (datetime.now(UTC) - THEN)).timestamp())
    return value


class Cluster(NamedTuple):
    """A shell, and the fake API server that it speaks to."""

    shell: terminal.Terminal
    server: fake_api_server.FakeApiServer

    def renew(self) -> None:
        """The jobs, as old at this moment as they are to look."""
        worse = {
            **terminal.PUBLISHED,
            "evaluation": {"rows": 600, "base": {"loss": 3.1}, "tuned": {"loss": 2.5}},
        }
        for job in (
            _job("support-bot", terminal.PUBLISHED),
            _job("second", worse, training={"learningRate": 0.001}),
            _job("titles", terminal.RUNNING),
            _job("translator", terminal.FAILED),
            _job("next", {"observedGeneration": -1}),
        ):
            for _ in range(2):  # made, then replaced whole: its age, too
                self.server.put("finetunejobs", job)


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """A shell and its cluster; whoever talks with a result gets an answer."""
    async with fake_api_server.FakeApiServer() as server:
        talking_pods.put_job(server)
        for name, last in (("support-bot", 500), ("titles", 120)):
            labels = {"app.kubernetes.io/managed-by": "finetune-operator", "finetune.dev/job-uid": f"uid-{name}",
                      "finetune.dev/stage": "train"}  # fmt: skip
            server.put(
                "pods", {"metadata": {"name": f"{name}-train", "namespace": "team-a", "labels": labels}}
            )
            server.logs[f"{name}-train"] = "".join(
                f"step {step}/500 loss {1.9 + 1.6 * 0.985**step + (step * 7 % 5) / 40:.4f} lr 2.00e-04 5120 tokens/s\n"
                for step in range(1, last, 2)
            )
        talking_pods.becoming(server, talking_pods.RUNNING)
        with talking_server.listening("127.0.0.1", 0) as service:
            service.open("support-bot", _answer)
            ready = f"Forwarding from 127.0.0.1:{service.server_address[1]} -> 8000"
            before, os.environ["PATH"] = os.environ["PATH"], talking_pods.kubectl(folder, ready)
            try:
                yield Cluster(terminal.Terminal.at(folder, server.url), server)
            finally:
                os.environ["PATH"] = before


async def seen(there: Cluster, shot: Shot) -> pseudo_terminal.Seated:
    """The terminal when everything is on it; whoever still runs is ended."""
    there.renew()
    seated = pseudo_terminal.Seated(there.shell, *shot.words)
    for shown, keys in shot.typed:
        await seated.shows(shown, seconds=30)
        seated.press(keys)
    if shot.shows:
        await seated.shows(shot.shows, seconds=30)
        await seated.rests()
        shown = seated.wrote
        await seated.leave()
        seated.wrote = shown
    else:
        await seated.ends()
    return seated


def lines(seated: pseudo_terminal.Seated, since: str = "") -> list[Text]:
    """What is on the screen, from the line on that begins with `since`, in its colours."""
    screen = seated.screen
    rows = [_line(screen.buffer[row], screen.columns) for row in range(screen.lines)]
    first = next((at for at, row in enumerate(rows) if row.plain.startswith(since)), 0)
    while rows and not rows[-1].plain:
        rows.pop()
    return rows[first:]


def _line(row: Any, columns: int) -> Text:
    made = Text()
    for column in range(columns):
        one = row[column]
        style = Style(color=COLOURS.get(one.fg, one.fg), bold=one.bold or None)
        made.append(one.data, style)
    made.rstrip()
    return made


def svg(name: str, rows: list[Text]) -> str:
    """The same as a picture."""
    console = Console(
        record=True,
        width=pseudo_terminal.COLUMNS,
        height=len(rows),
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
    )
    console.print(Text("\n").join(rows))
    title = " ".join(("kubectl finetune", *SHOTS[name].words))
    made = console.export_svg(title=title, code_format=FORMAT, unique_id=name)
    return re.sub(r"[ \t]+$", "", made, flags=re.MULTILINE)


async def _main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with cluster(Path(folder)) as there:
            for name, shot in SHOTS.items():
                (FOLDER / f"{name}.svg").write_text(svg(name, lines(await seen(there, shot), shot.since)))


if __name__ == "__main__":
    asyncio.run(_main())
