"""`check` and `estimate`: what the trainer's Prepare finds out before anything is trained."""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from finetune_operator.api.sources import DATA_SCHEMES, MODEL_SCHEMES
from finetune_operator.observe.words import LastWord
from kubectl_finetune import errors, screen
from kubectl_finetune.commands import options
from kubectl_finetune.job import manifest
from kubectl_finetune.local import resolve, seen, stage
from kubectl_finetune.local.folder import Folder, StandIns
from kubectl_finetune.views import amounts

PLENTY = 1 << 50
"""Memory in which everything fits: data is checked for a machine that is not this one."""
URIS = tuple(f"{scheme}://" for scheme in {*DATA_SCHEMES, *MODEL_SCHEMES, "file"})


@click.command(short_help="Read data as a job would, and say what is wrong.")
@click.argument("data", metavar="DATA")
@click.option("--model", metavar="URI|DIR", help="Model whose tokenizer counts; a job's YAML names its own.")
@click.option(
    "--method",
    type=click.Choice(("SFT", "DPO", "ORPO", "KTO"), case_sensitive=False),
    help="Method that the data is for; default: SFT.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set any field of the spec: dataset.evalFraction=0.1.",
)
@options.stand_ins
@options.output
def check(
    *,
    data: str,
    model: str | None,
    method: str | None,
    settings: tuple[str, ...],
    at_hand: StandIns,
    json_wanted: bool,
) -> None:
    """Read data as a job would, and say what is wrong with it.

    DATA is a file, a folder, a URI, or the YAML of a job.
    """
    stage.available()
    made = _job_of(data, model)
    if method:
        made["spec"]["method"] = method
    manifest.changed(made["spec"], settings)
    anywhere = {"memoryBytes": PLENTY, "gpuMemoryBytes": None}
    with _prepared(made, beside=manifest.beside(Path(data)), resources=anywhere, at_hand=at_hand) as (
        word,
        files,
    ):
        if json_wanted:
            screen.as_json({"result": word.result, "report": json.loads(_text(files, "data-report.json"))})
        else:
            screen.document(_text(files, "data-report.md"))


def _job_of(data: str, model: str | None) -> manifest.Manifest:
    """A job that reads `data`, or the job that `data` is."""
    if data.endswith((".yaml", ".yml")):
        made = manifest.read(Path(data))
        return {**made, "spec": {**made["spec"], **({"model": {"uri": _uri(model)}} if model else {})}}
    if model is None:
        raise errors.Mistake(
            "--model: nothing says whose tokenizer reads the data; give a model, for example --model hf://Qwen/Qwen3-0.6B"
        )
    spec = {
        "model": {"uri": _uri(model)},
        "dataset": {"train": [{"uri": _uri(data)}]},
        "output": {"uri": "file:///tmp"},
    }
    return manifest.of("check", spec)


def _uri(place: str) -> str:
    if place.startswith(URIS):
        return place
    if not Path(place).exists():
        raise errors.NotThere(f"there is no file or folder {place}; correct the path")
    return f"file://{Path(place).absolute()}"


@click.command(short_help="How much memory and time a job will need.")
@click.argument("file", type=click.Path(path_type=Path), metavar="JOB.YAML")
@click.option(
    "--gpu-memory", metavar="SIZE", help="Memory of one GPU, for example 80Gi, to see whether the job fits."
)
@click.option(
    "--teraflops",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Speed of one GPU in bf16 (teraflops), for example 990, to estimate the time.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set any field of the spec: training.microBatchSize=1.",
)
@options.stand_ins
@options.output
def estimate(
    *,
    file: Path,
    gpu_memory: str | None,
    teraflops: float | None,
    settings: tuple[str, ...],
    at_hand: StandIns,
    json_wanted: bool,
) -> None:
    """How much memory and time a job will need: its data is read, nothing is trained."""
    made = manifest.read(file)
    manifest.changed(made.setdefault("spec", {}), settings)
    gpu = {"gpuMemoryBytes": resolve.bytes_of(gpu_memory) if gpu_memory else None, "gpuTeraflops": teraflops}
    found = needs(made, beside=manifest.beside(file), gpu=gpu, at_hand=at_hand)
    if json_wanted:
        screen.as_json(found)
        return
    for line in told(found):
        screen.say(line)


def needs(
    made: manifest.Manifest, *, beside: Path, at_hand: StandIns, gpu: dict[str, Any] | None = None
) -> dict[str, Any]:
    """`estimate` and `resolved` as Prepare says them; relative paths are read from the folder `beside`.

    `gpu`: memory and speed of a GPU, as run.json has them.
    """
    stage.available()
    with _prepared(made, beside=beside, resources=gpu or {}, at_hand=at_hand) as (word, _):
        found = word.result or {}
    return {"estimate": found.get("estimate"), "resolved": found.get("resolved")}


def told(found: dict[str, Any]) -> Iterator[str]:
    """The same in lines for people."""
    needs, resolved = found["estimate"] or {}, found["resolved"] or {}
    memory = needs.get("gpuMemoryBytes") or needs.get("memoryBytes")
    if memory:
        yield f"memory: {amounts.memory(memory)} of {'each GPU' if 'gpuMemoryBytes' in needs else 'each process'}"
    for part, size in sorted((needs.get("parts") or {}).items(), key=lambda one: -one[1]):
        yield f"  {part:<12} {amounts.memory(size):>11}"
    seconds = needs.get("durationSeconds")
    yield f"time:   {amounts.duration(seconds) if seconds else 'unknown; give --teraflops'}"
    chosen = (
        ("steps", "totalSteps"),
        ("rows per step", "globalBatchSize"),
        ("rows per forward pass", "microBatchSize"),
    )
    yield "run:    " + ", ".join(f"{resolved[name]} {label}" for label, name in chosen if name in resolved)


@contextlib.contextmanager
def _prepared(
    made: manifest.Manifest, *, beside: Path, resources: dict[str, Any], at_hand: StandIns
) -> Iterator[tuple[LastWord, Path]]:
    """What Prepare says of the job, and the folder of what it has left; both go afterwards. `resources` go over run.json's."""
    with tempfile.TemporaryDirectory(prefix="kubectl-finetune-") as temporary:
        folder = Folder(Path(temporary))
        out = folder.root / "out"
        found = resolve.resolved(made, None, beside=beside, at_hand=at_hand, to=out)
        folder.make({**found, "resources": {**found["resources"], **resources}})
        folder.mount(at_hand)
        code, word = stage.run(folder, "prepare", tell=lambda _: None)
        if code == seen.INTERRUPTED:
            raise errors.Stopped("stopped")
        stage.check_disk(folder, code, word)
        if code != 0 or word is None:
            told = (
                f"{word.reason}: {word.message}{stage.hint(word)}"
                if word
                else f"the trainer ended with exit code {code} and did not say why; please report it"
            )
            raise errors.StageEnded(told, code=code)
        digest = (word.result or {})["dataset"]["digest"].removeprefix("sha256:")
        yield word, out / ".finetune" / found["job"]["uid"] / "dataset" / digest


def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8").rstrip()


COMMANDS: Iterable[click.Command] = (check, estimate)
