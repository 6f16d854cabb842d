"""What `kubectl finetune` looks like in a terminal of 80 x 24: docs/screens/*.svg.

`python tests/support/cli_screens.py` writes them; a test looks whether everything fits, and whether they are those in the folder.
"""

import io
import re
from datetime import UTC, datetime

from rich.console import Console, RenderableType

import kube_objects
import terminal
from kubectl_finetune.views import difference, listing, status
from kubectl_finetune.views.job import Job

FOLDER = terminal.ROOT / "docs" / "screens"
NOW = datetime(2026, 11, 22, 11, 40, tzinfo=UTC)
WIDTH, HEIGHT = 80, 24
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


def screens() -> dict[str, RenderableType]:
    """Name -> what is on it."""
    curve = [(step, 1.9 + 1.6 * 0.985**step + (step * 7 % 5) / 40) for step in range(1, 121, 2)]
    first, second = (_job(name, terminal.PUBLISHED) for name in ("support-bot", "second"))
    second["spec"]["training"] = {"learningRate": 0.001}
    second["status"]["evaluation"] = {"rows": 600, "base": {"loss": 3.1}, "tuned": {"loss": 2.5}}
    jobs = [
        first,
        _job("titles", terminal.RUNNING),
        _job("translator", terminal.FAILED),
        _job("next", {"observedGeneration": -1}),
    ]
    return {
        "list": listing.table(jobs, NOW, namespaces=False),
        "status": status.screen(Job.of(_job("titles", terminal.RUNNING)), NOW, points=curve),
        "status-succeeded": status.screen(Job.of(first), NOW),
        "status-failed": status.screen(Job.of(_job("translator", terminal.FAILED)), NOW),
        "diff": difference.table(difference.lines(Job.of(first), Job.of(second)), "support-bot", "second"),
    }


def _job(name, said):
    """A job of an hour and a half ago, which shares nothing with another one."""
    spec = {"output": {"uri": f"s3://team-a/adapters/{name}"}}
    return kube_objects.merged({}, kube_objects.fine_tune_job(name, status=dict(said), **spec))


def drawn(screen: RenderableType) -> Console:
    """A terminal with it on."""
    console = Console(
        record=True,
        width=WIDTH,
        height=HEIGHT,
        file=io.StringIO(),
        force_terminal=True,
        color_system="standard",
        highlight=False,
        markup=False,
    )
    console.print(screen)
    return console


def lines(screen: RenderableType) -> list[str]:
    """The same as plain text."""
    return drawn(screen).export_text().rstrip("\n").split("\n")


def svg(name: str, screen: RenderableType) -> str:
    """The same as a picture."""
    title = f"kubectl finetune {name.partition('-')[0]}"
    made = drawn(screen).export_svg(title=title, code_format=FORMAT, unique_id=name)
    return re.sub(r"[ \t]+$", "", made, flags=re.MULTILINE)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, screen in screens().items():
        (FOLDER / f"{name}.svg").write_text(svg(name, screen))
