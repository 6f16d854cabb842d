"""`python -m finetune_trainer.talking`: the server, told by run.json in a pod, by folders elsewhere."""

import argparse
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from finetune_trainer import config, errors, report
from finetune_trainer.layout import Layout
from finetune_trainer.report import LastWord
from finetune_trainer.talking import result, server
from finetune_trainer.talking.result import Result, Told

LOOK = 0.5
"""Seconds between two looks whether anybody is still there."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until nobody asks any more, or SIGTERM; the exit code. Why it could not is the last word, as of a stage."""
    given = parser().parse_args(arguments)
    layout = Layout.under(given.layout_root.absolute()) if given.layout_root else Layout()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # nothing is kept that could be lost
    try:
        _serve(given, layout)
    except Exception as error:  # noqa: BLE001 - a last word is owed to any end
        return _ended_by(error, layout)
    return 0


def parser() -> argparse.ArgumentParser:
    """What is understood on the command line."""
    made = argparse.ArgumentParser(prog="python -m finetune_trainer.talking", description=__doc__)
    which = made.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", type=Path, metavar="FILE", help="run.json of the job whose result it is")
    which.add_argument("--result", type=Path, metavar="DIR", help="the folder of a result")
    made.add_argument(
        "--base", metavar="DIR|NAME", help="base model of --result: a folder, or its name on the Hub"
    )
    made.add_argument("--revision", metavar="REVISION", help="revision of --base on the Hub")
    made.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="where to listen (%(default)s)")
    made.add_argument("--port", type=int, default=server.PORT, metavar="N", help="(%(default)s)")
    made.add_argument(
        "--alone-for", type=float, metavar="SECONDS", help="end after so many seconds without a question"
    )
    made.add_argument(
        "--layout-root",
        type=Path,
        metavar="DIR",
        help="a folder used as the pod's file system (local runs)",
    )
    return made


def _serve(given: argparse.Namespace, layout: Layout) -> None:
    with server.listening(given.host, given.port) as service:
        found = _result(given, layout, service.tell)
        service.tell("loading the models")
        from finetune_trainer.talking.model import Talker  # noqa: PLC0415 - torch takes seconds to import

        service.open(found.name, Talker(found).answer)
        while given.alone_for is None or service.silent_for() < given.alone_for:
            time.sleep(LOOK)


def _result(given: argparse.Namespace, layout: Layout, told: Told) -> Result:
    if given.run:
        layout.make_folders()
        return result.of_run(config.load(given.run), layout, told)
    if not given.base:
        raise errors.InvalidRun(
            "--base: nothing says where the base model of --result is; give a folder or the Hub's name"
        )
    return result.here(given.result, base=given.base, revision=given.revision)


def _ended_by(error: Exception, layout: Layout) -> int:
    if not isinstance(error, errors.TrainerError):
        traceback.print_exception(error)
        error = errors.InternalError.wrapping(error)
    word = LastWord(stage="Talk", reason=error.reason, message=str(error))
    report.write_last_word(layout.termination_log, word)
    sys.stderr.write(f"{word.reason}: {word.message}\n")
    return errors.exit_code_of(error)


if __name__ == "__main__":
    sys.exit(main())
