"""The command line: two stages, an exit code and a last word for each end."""

import argparse
import contextlib
import os
import threading
import traceback
from pathlib import Path
from typing import Any

from finetune_trainer import (
    config,
    cycles,
    errors,
    failpoints,
    interruption,
    outcome,
    process_tree,
    report,
    supervisor,
    unneeded,
)
from finetune_trainer.layout import Layout
from finetune_trainer.report import LastWord
from finetune_trainer.supervisor import Ending, LastMoment, earlier_job, serve, trackers

DESCRIPTION = """\
Runs one stage of a FineTuneJob inside its pod, as run.json says.

  prepare   read, check and tokenise the data; leave it in the work area
  train     train on it, evaluate, and publish the adapter at the output

Exit codes: 0 done, 64 change the spec or the data, 65 gate not met, 69 something outside is not there yet,
75 interrupted, 77 access denied, 86 out of GPU memory, anything else: a bug of ours, or a fault of the machine.
"""


def run(arguments: list[str] | None, told: interruption.Interruption) -> int:
    """Run the stage that `arguments` name; the exit code. The last word is written, whatever happens."""
    given = parser().parse_args(arguments)
    layout = Layout.under(given.layout_root.absolute()) if given.layout_root else Layout()
    spec: config.Run | None = None
    speaking = threading.Lock()

    def hurry(ending: Ending) -> None:
        speaking.acquire()  # for good: who comes second has nothing to say any more
        code = _close(given, layout, spec, ending)
        process_tree.kill_below(os.getpid())
        os._exit(code)

    last_moment = LastMoment(told, close=hurry)
    try:
        told.check()
        failpoints.arm(os.environ, attempt=given.attempt)
        spec = config.load(given.run)
        last_moment.watch(grace=spec.limits.grace_period_seconds)
        ending = given.stage(spec, layout, given, told, last_moment)
    except BaseException as error:  # noqa: BLE001 - a last word is owed to any end
        ending = _ended_by(_cause(error, told))
    told.end()
    speaking.acquire()
    last_moment.over()
    return _close(given, layout, spec, ending)


def prepare(
    spec: config.Run,
    layout: Layout,
    given: argparse.Namespace,
    told: interruption.Interruption,
    _: LastMoment,
) -> Ending:
    """The Prepare stage."""
    unneeded.leave_out(unneeded.in_prepare(spec))
    with cycles.unsought():
        from finetune_trainer import prepare as stage  # noqa: PLC0415 - its tokenizers are not needed to train
    cycles.seldom()
    layout.make_folders()
    server = serve.Server(lambda: report.read_progress(layout.progress), port=given.port)
    with contextlib.closing(server):
        writer = _Checking(layout.progress, attempt=given.attempt, told=told)
        done = stage.prepare(spec, layout, writer)
        message = done.message
        if done.reason == "Prepared":
            digest = done.result["dataset"]["digest"]
            taken = earlier_job.take_over(
                spec, layout, digest=digest, tell=lambda said: writer.tell(message=said)
            )
            message += f"; training goes on from step {taken.step} of another job" if taken else ""
            message += "".join(f"; {one}" for one in trackers.lacking(spec, layout))
    return Ending(exit_code=0, reason=done.reason, message=message, result=done.result)


def train(
    spec: config.Run,
    layout: Layout,
    given: argparse.Namespace,
    told: interruption.Interruption,
    last_moment: LastMoment,
) -> Ending:
    """The Train stage."""
    return supervisor.train(
        spec,
        given.run.absolute(),
        layout,
        attempt=given.attempt,
        digest=given.prepared,
        main=given.main,
        interruption=told,
        last_moment=last_moment,
        port=given.port,
    )


def parser() -> argparse.ArgumentParser:
    """What is understood on the command line."""
    made = argparse.ArgumentParser(
        prog="finetune-trainer", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    stages = made.add_subparsers(title="stages", required=True, metavar="STAGE")
    for name, stage, told in (
        ("prepare", prepare, "read, check and tokenise the data"),
        ("train", train, "train, evaluate and publish"),
    ):
        one = stages.add_parser(name, help=told, description=told)
        one.set_defaults(stage=stage, name=name)
        one.add_argument("--run", type=Path, required=True, metavar="FILE", help="run.json")
        one.add_argument(
            "--attempt", type=int, required=True, metavar="N", help="number of this attempt, from 1"
        )
        one.add_argument(
            "--layout-root",
            type=Path,
            metavar="DIR",
            help="a folder used as the pod's file system (local runs)",
        )
        one.add_argument(
            "--port",
            type=int,
            default=serve.PORT,
            metavar="N",
            help="where /progress is served (%(default)s); 0: any",
        )
        if name == "train":
            one.add_argument(
                "--prepared",
                required=True,
                metavar="DIGEST",
                help="sha256:<64 hex digits>, as Prepare reported it",
            )
            one.add_argument(
                "--main", metavar="HOST:PORT", help="where node 0's /progress is served (several nodes)"
            )
    return made


class _Checking(report.ProgressWriter):
    """Tells progress, and asks each time whether the pod was told to end: a library may have swallowed the exception."""

    def __init__(self, path: Path, *, attempt: int, told: interruption.Interruption) -> None:
        super().__init__(path, attempt=attempt)
        self._told = told

    def tell(self, **changes: Any) -> report.Progress:
        self._told.check()
        return super().tell(**changes)


def _cause(error: BaseException, told: interruption.Interruption) -> BaseException:
    """What an end is really due to: after a SIGTERM whatever is raised is its doing.

    Libraries wrap our `Interrupted` into errors of their own, which must not be kept as the author's fault.
    """
    if told.noted and not isinstance(error, errors.Interrupted | errors.EarlierFailure):
        return errors.Interrupted("stopped from outside (SIGTERM); nothing that was saved is lost")
    return error


def _ended_by(error: BaseException) -> Ending:
    """The ending that `error` makes."""
    if isinstance(error, errors.EarlierFailure):
        word = error.last_word
        return Ending(
            exit_code=error.earlier_exit_code,
            reason=error.reason,
            message=str(error),
            result=word.get("result"),
        )
    if not isinstance(error, errors.TrainerError):
        traceback.print_exception(error)
        error = errors.InternalError.wrapping(error)
    return Ending(exit_code=errors.exit_code_of(error), reason=error.reason, message=str(error))


def _close(given: argparse.Namespace, layout: Layout, spec: config.Run | None, ending: Ending) -> int:
    """Write the last word, and keep a final failure for later attempts."""
    word = LastWord(
        stage=given.name.capitalize(), reason=ending.reason, message=ending.message, result=ending.result
    )
    if spec:
        outcome.record_failure(spec, layout, exit_code=ending.exit_code, word=word)
    report.write_last_word(layout.termination_log, word)
    print(f"{word.reason}: {word.message}", flush=True)  # noqa: T201 - the pod's log
    return ending.exit_code
