"""`kubectl-finetune`, and as kubectl finds it: `kubectl finetune`."""

import importlib
import io
import sys

INTERRUPTED = 130
"""As errors.Exit has it, which is not imported yet."""


def main() -> None:
    """The program. Ends the process with a documented exit code."""
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows few letters shows ? for the others
        if isinstance(stream, io.TextIOWrapper):  # None where it is closed
            stream.reconfigure(errors="replace")
    try:
        command = importlib.import_module("kubectl_finetune.command")
        command.program(prog_name="kubectl finetune", complete_var=command.VARIABLE)
    except KeyboardInterrupt:  # while all that is imported
        sys.exit(INTERRUPTED)


def complete() -> None:
    """`kubectl_complete-finetune`: kubectl asks it what could be typed next."""
    command = importlib.import_module("kubectl_finetune.command")
    sys.stdout.write("\n".join(command.complete(sys.argv[1:])) + "\n")


if __name__ == "__main__":
    main()
