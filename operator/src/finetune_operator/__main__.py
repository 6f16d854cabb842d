"""`finetune-operator`: read the environment, serve until told to stop."""

import argparse
import asyncio
import datetime as dt
import importlib.metadata
import json
import logging
import os
import socket
import sys

import pydantic
import uvloop

from finetune_operator import settings as choices
from finetune_operator.cluster.access import NoAccess, configuration
from finetune_operator.handlers.serve import Operator
from finetune_operator.settings import Settings

USUAL = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, message, and what was given with it."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line = {
            "time": when,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_given(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """For a person."""

    def format(self, record: logging.LogRecord) -> str:
        """The same, as text."""
        given = " ".join(
            f"{name}={value}" for name, value in _given(record).items() if value not in ("", [], None)
        )
        return f"{super().format(record)} {given}".rstrip()


def _given(record: logging.LogRecord) -> dict[str, object]:
    """What the caller said beside the message."""
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in USUAL and not name.startswith("k8s_")
    }


def _logging(settings: Settings) -> None:
    """Our lines to stderr; kopf speaks up only when something is wrong."""
    handler = logging.StreamHandler()
    text = TextLines("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonLines() if settings.log_format == "json" else text)
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)


def version() -> str:
    """The installed version."""
    return importlib.metadata.version("finetune-operator")


async def _serve(settings: Settings) -> bool:
    operator = Operator(settings, await configuration(), version())
    operator.handle_signals()
    return await operator.run()


def main() -> None:
    """The program. 0: told to stop; 1: something ended that must not, and a restart is due; 2: settings, the kubeconfig."""
    parser = argparse.ArgumentParser(
        prog="finetune-operator",
        description="Turns FineTuneJobs into training pods. Uses the pod's service account, or KUBECONFIG.",
        epilog=choices.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    parser.parse_args()
    try:
        settings = choices.from_environment(os.environ, identity=socket.gethostname())
    except pydantic.ValidationError as error:
        sys.stderr.writelines(f"finetune-operator: {one}\n" for one in choices.refusals(error))
        sys.exit(2)
    _logging(settings)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            graceful = runner.run(_serve(settings))
    except NoAccess as error:
        sys.stderr.write(f"finetune-operator: {error}\n")
        sys.exit(2)
    sys.exit(0 if graceful else 1)


if __name__ == "__main__":
    main()
