"""`run --local`: a job on this machine."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from finetune_operator.observe.words import LastWord
from kubectl_finetune import errors, following, screen
from kubectl_finetune.commands import options
from kubectl_finetune.job import manifest
from kubectl_finetune.local import machine, resolve, seen, stage
from kubectl_finetune.local.folder import Folder, StandIns, refuse_foreign
from kubectl_finetune.views import curve
from kubectl_finetune.views.job import Job


@click.command(short_help="Run the job of a YAML file on this machine.")
@click.argument("file", type=click.Path(path_type=Path), metavar="JOB.YAML")
@click.option("--local", is_flag=True, help="On this machine; there is no other way yet.")
@click.option(
    "--dir",
    "root",
    type=options.Folder(),
    metavar="DIR",
    help="Folder for work and logs; default: NAME.finetune.",
)
@click.option(
    "--to",
    type=options.Folder(),
    metavar="DIR",
    help="Where the result goes, instead of spec.output.uri.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set any field of the spec: training.maxSteps=5; =null removes it.",
)
@options.stand_ins
@options.output
def run(
    *,
    file: Path,
    local: bool,
    root: Path | None,
    to: Path | None,
    settings: tuple[str, ...],
    at_hand: StandIns,
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
        made["spec"].setdefault("output", {"uri": f"file://{to.absolute()}"})
    manifest.named(made)
    folder = Folder(root or Path(f"{made['metadata']['name']}.finetune"))
    here = machine.here(folder.root)
    stage.check_room(here.folder)
    resolved = resolve.resolved(made, here, beside=manifest.beside(file), at_hand=at_hand, to=to)
    with folder.taken() as lock:
        refuse_foreign(resolved["output"]["uri"])
        folder.make(resolved)
        folder.mount(at_hand)
        ended = _Run(made, resolved, folder, lock, json_wanted=json_wanted).to_its_end()
    _end(ended, folder, json_wanted=json_wanted)


class _Run:
    """Prepare, then training, each shown as it goes."""

    def __init__(
        self,
        made: manifest.Manifest,
        resolved: dict[str, Any],
        folder: Folder,
        lock: int,
        *,
        json_wanted: bool,
    ) -> None:
        self._made, self._resolved, self._folder, self._json = made, resolved, folder, json_wanted
        self._run = functools.partial(stage.run, folder, held=(lock,))
        self._began = datetime.now(UTC)

    def to_its_end(self) -> Job:
        """The job as it ended."""
        uid = self._resolved["job"]["uid"]
        with following.follower(self.points, json_wanted=self._json) as show:
            ready = self._folder.prepared(self._resolved)
            if ready is None:
                code, word = self._run("prepare", tell=lambda told: show.tell(self._job(progress=told)))
                if code != 0 or word is None or word.reason == "AlreadyPublished":
                    return self._ended(show, code, word)
                self._folder.keep_prepared(uid)
                ready = word
            digest = ((ready.result or {}).get("dataset") or {}).get("digest", "")
            last: dict[str, Any] = {}

            def tell(told: dict[str, Any]) -> None:
                last.update(told)
                show.tell(self._job(prepared=ready, progress=told))

            code, word = self._run("train", "--prepared", digest, tell=tell)
            return self._ended(show, code, word, prepared=ready, progress=last or None)

    def _ended(self, show: following.Follower, code: int, word: LastWord | None, **known: Any) -> Job:
        job = self._job(ended=(code, word), **known)
        show.tell(job)
        if code == seen.INTERRUPTED:
            raise errors.NotYet(
                f"{word.message if word else 'interrupted'}; run the same command again, and it goes on from there"
            )
        stage.check_disk(self._folder, code, word)
        if code != 0:
            log = self._folder.logs("train" if "prepared" in known else "prepare")[-1]
            told = f"{following.ending(job, json_wanted=self._json)}{stage.hint(word)}"
            raise errors.StageEnded(f"{told} (log: {log})", code=code)
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


COMMANDS: Iterable[click.Command] = (run,)
