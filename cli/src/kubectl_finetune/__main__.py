"""`kubectl-finetune`, and as kubectl finds it: `kubectl finetune`."""

import sys

from kubectl_finetune import command


def main() -> None:
    """The program. Ends the process with a documented exit code."""
    command.program(prog_name="kubectl finetune", complete_var=command.VARIABLE)


def complete() -> None:
    """`kubectl_complete-finetune`: kubectl asks it what could be typed next."""
    sys.stdout.write("\n".join(command.complete(sys.argv[1:])) + "\n")


if __name__ == "__main__":
    main()
