"""Commands that work on this machine and ask no cluster: run, check, estimate."""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from finetune_operator.observe.words import LastWord
from kubectl_finetune import errors, following, screen
from kubectl_finetune.commands import options
from kubectl_finetune.job import manifest
from kubectl_finetune.local import machine, resolve, seen, stage
from kubectl_finetune.local.folder import Folder
from kubectl_finetune.views import amounts, curve
from kubectl_finetune.views.job import Job

PLENTY = 1 << 50
"""Memory in which everything fits: data is checked for a machine that is not this one."""
URIS = ("hf://", "s3://", "gs://", "az://", "http://", "https://", "file://")


def _pairs(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Path]:
    """NAME=PATH, each."""
    found = {}
    for one in given:
        name, equals, path = one.partition("=")
        if not equals or not name or not path:
            raise errors.Mistake(f"--{option.name} {one}: write it as NAME=PATH")
        found[name] = Path(path)
    return found


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="JOB.YAML")
@click.option("--local", is_flag=True, help="On this machine; there is no other way yet.")
@click.option(
    "--dir", "root", type=click.Path(path_type=Path), metavar="DIR", help="Where it works (NAME.finetune)."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the result goes, instead of output.uri.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Change a field of the spec: training.maxSteps=5.",
)
@click.option(
    "--secret", multiple=True, callback=_pairs, metavar="NAME=FILE", help="A Secret's KEY=VALUE lines."
)
@click.option(
    "--claim",
    multiple=True,
    callback=_pairs,
    metavar="NAME=DIR",
    help="The folder that stands for pvc://NAME.",
)
@click.option(
    "--configmap", multiple=True, callback=_pairs, metavar="NAME=DIR", help="The same for configmap://NAME."
)
@options.output
def run(
    *,
    file: Path,
    local: bool,
    root: Path | None,
    to: Path | None,
    settings: tuple[str, ...],
    secret: dict[str, Path],
    claim: dict[str, Path],
    configmap: dict[str, Path],
    json_wanted: bool,
) -> None:
    """Run the job of a YAML file on this machine, as a cluster would.

    Ctrl-C saves a checkpoint; the same command goes on from it.
    """
    if not local:
        raise errors.Mistake(
            f"run works on this machine: add --local; on a cluster: kubectl finetune create -f {file}"
        )
    stage.available()
    made = manifest.read(file)
    manifest.changed(made.setdefault("spec", {}), settings)
    if to is not None:
        made["spec"]["output"] = {**(made["spec"].get("output") or {}), "uri": f"file://{to.absolute()}"}
    folder = Folder(root or Path(f"{(made.get('metadata') or {}).get('name')}.finetune"))
    folder.root.mkdir(parents=True, exist_ok=True)
    resolved = resolve.resolved(made, machine.here(folder.root), beside=_beside(file), secrets=secret)
    folder.make(resolved)
    for name, lines in secret.items():
        folder.mount_secret(name, lines)
    for kind, mounts in (("claims", claim), ("etc/configmaps", configmap)):
        for name, place in mounts.items():
            folder.mount(kind, name, place)
    _end(_Run(made, resolved, folder).to_its_end(json_wanted=json_wanted), folder, json_wanted=json_wanted)


def _beside(file: Path) -> Path:
    return Path.cwd() if str(file) == manifest.STDIN else file.absolute().parent


class _Run:
    """Prepare, then training, each shown as it goes."""

    def __init__(self, made: manifest.Manifest, resolved: dict[str, Any], folder: Folder) -> None:
        self._made, self._resolved, self._folder = made, resolved, folder
        self._began = datetime.now(UTC)

    def to_its_end(self, *, json_wanted: bool) -> Job:
        """The job as it ended."""
        uid = self._resolved["job"]["uid"]
        with following.follower(self.points, json_wanted=json_wanted) as show:
            ready = self._folder.prepared(uid)
            if ready is None:
                code, word = stage.run(
                    self._folder, "prepare", tell=lambda told: show.tell(self._job(progress=told))
                )
                if code != 0 or word is None or word.reason == "AlreadyPublished":
                    return self._ended(show, code, word)
                self._folder.keep_prepared(uid)
                ready = word
            digest = ((ready.result or {}).get("dataset") or {}).get("digest", "")
            last: dict[str, Any] = {}

            def tell(told: dict[str, Any]) -> None:
                last.update(told)
                show.tell(self._job(prepared=ready, progress=told))

            code, word = stage.run(self._folder, "train", "--prepared", digest, tell=tell)
            return self._ended(show, code, word, prepared=ready, progress=last or None)

    def _ended(self, show: following.Follower, code: int, word: LastWord | None, **known: Any) -> Job:
        job = self._job(ended=(code, word), **known)
        show.tell(job)
        if code == seen.INTERRUPTED:
            raise errors.NotYet(
                f"{word.message if word else 'interrupted'}; run the same command again, and it goes on from there"
            )
        if code != 0:
            log = self._folder.logs("train" if "prepared" in known else "prepare")[-1]
            raise errors.StageEnded(f"{': '.join(job.says)} (log: {log})", code=code)
        return job

    def _job(self, **known: Any) -> Job:
        return seen.job(self._made, self._resolved, began=self._began, **known)

    def points(self, _: Job) -> list[curve.Point]:
        """The losses that the logs tell."""
        files = self._folder.logs("train")
        return curve.points(
            line for file in files for line in file.read_text("utf-8", "replace").splitlines()
        )


def _end(job: Job, folder: Folder, *, json_wanted: bool) -> None:
    """Where everything lies."""
    if json_wanted or job.status.adapter is None:
        return
    uri = job.status.adapter.uri
    place = uri.removeprefix("file://")
    screen.say(f"result: {place}")
    if uri.startswith("file://"):
        screen.say(f"report: {place}/report.html")
        screen.say(f"next:   kubectl finetune chat {folder.root}")


@click.command()
@click.argument("data", metavar="DATA")
@click.option("--model", metavar="URI|DIR", help="Whose words are counted; of a job's YAML its own.")
@click.option(
    "--method",
    type=click.Choice(("SFT", "DPO", "ORPO", "KTO"), case_sensitive=False),
    help="What it shall be good for (SFT).",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Any field of the spec: dataset.evalFraction=0.1.",
)
@options.output
def check(
    *, data: str, model: str | None, method: str | None, settings: tuple[str, ...], json_wanted: bool
) -> None:
    """Read data as a job would, and tell what is wrong with it.

    DATA is a file, a folder, a URI, or the YAML of a job.
    """
    stage.available()
    made = _job_of(data, model)
    if method:
        made["spec"]["method"] = method
    manifest.changed(made["spec"], settings)
    with _prepared(
        made, beside=_beside(Path(data)), resources={"memoryBytes": PLENTY, "gpuMemoryBytes": None}
    ) as (word, files):
        if json_wanted:
            screen.as_json({"result": word.result, "report": json.loads(_text(files, "data-report.json"))})
        else:
            screen.say(_text(files, "data-report.md"))


def _job_of(data: str, model: str | None) -> manifest.Manifest:
    """A job that reads `data`, or the job that `data` is."""
    if data.endswith((".yaml", ".yml")):
        made = manifest.read(Path(data))
        return {**made, "spec": {**made["spec"], **({"model": {"uri": _uri(model)}} if model else {})}}
    if model is None:
        raise errors.Mistake(
            "--model: say whose tokenizer reads the data, for example --model hf://Qwen/Qwen3-0.6B"
        )
    spec = {
        "model": {"uri": _uri(model)},
        "dataset": {"train": [{"uri": _uri(data)}]},
        "output": {"uri": "file:///tmp"},
    }
    return manifest.of("check", spec)


def _uri(place: str) -> str:
    return place if place.startswith(URIS) else f"file://{Path(place).absolute()}"


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="JOB.YAML")
@click.option(
    "--gpu-memory", metavar="SIZE", help="Memory of one GPU, for example 80Gi; this tells whether it fits."
)
@click.option(
    "--teraflops",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="What one GPU computes in bf16, for the time.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Any field of the spec: training.microBatchSize=1.",
)
@options.output
def estimate(
    *,
    file: Path,
    gpu_memory: str | None,
    teraflops: float | None,
    settings: tuple[str, ...],
    json_wanted: bool,
) -> None:
    """How much memory and time a job will need: its data is read, nothing is trained."""
    stage.available()
    made = manifest.read(file)
    manifest.changed(made.setdefault("spec", {}), settings)
    gpu = {"gpuMemoryBytes": resolve.bytes_of(gpu_memory) if gpu_memory else None, "gpuTeraflops": teraflops}
    with _prepared(made, beside=_beside(file), resources=gpu) as (word, _):
        told = word.result or {}
    if json_wanted:
        screen.as_json({"estimate": told.get("estimate"), "resolved": told.get("resolved")})
        return
    for line in _estimated(told.get("estimate") or {}, told.get("resolved") or {}):
        screen.say(line)


def _estimated(needs: dict[str, Any], resolved: dict[str, Any]) -> Iterator[str]:
    memory = needs.get("gpuMemoryBytes") or needs.get("memoryBytes")
    if memory:
        yield f"memory: {amounts.size(memory)} of {'each GPU' if 'gpuMemoryBytes' in needs else 'each process'}"
    for part, size in sorted((needs.get("parts") or {}).items(), key=lambda one: -one[1]):
        yield f"  {part:<12} {amounts.size(size):>10}"
    seconds = needs.get("durationSeconds")
    yield f"time:   {amounts.duration(seconds) if seconds else 'unknown; say --teraflops'}"
    chosen = (("steps", "totalSteps"), ("rows a step", "globalBatchSize"), ("rows a pass", "microBatchSize"))
    yield "run:    " + ", ".join(f"{resolved[name]} {label}" for label, name in chosen if name in resolved)


@contextlib.contextmanager
def _prepared(
    made: manifest.Manifest, *, beside: Path, resources: dict[str, Any]
) -> Iterator[tuple[LastWord, Path]]:
    """What Prepare says of the job, and the folder of what it has left; both go afterwards. `resources` go over run.json's."""
    with tempfile.TemporaryDirectory(prefix="kubectl-finetune-") as temporary:
        folder = Folder(Path(temporary))
        out = folder.root / "out"
        spec = {**made["spec"], "output": {"uri": f"file://{out}"}}
        found = resolve.resolved({**made, "spec": spec}, None, beside=beside)
        folder.make({**found, "resources": {**found["resources"], **resources}})
        code, word = stage.run(folder, "prepare", tell=lambda _: None)
        if code == seen.INTERRUPTED:
            raise errors.Stopped("stopped")
        if code != 0 or word is None:
            told = (
                f"{word.reason}: {word.message}"
                if word
                else f"the trainer ended with exit code {code}, and without a word"
            )
            raise errors.StageEnded(told, code=code)
        digest = (word.result or {})["dataset"]["digest"].removeprefix("sha256:")
        yield word, out / ".finetune" / found["job"]["uid"] / "dataset" / digest


def _text(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="utf-8").rstrip()


COMMANDS: Iterable[click.Command] = (run, check, estimate)
