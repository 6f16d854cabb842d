"""PID 1 of the pod."""

import sys

from finetune_trainer import cycles, interruption


def main(arguments: list[str] | None = None) -> int:
    """Run one stage; the exit code. SIGTERM is heard first of all: PID 1 without a handler never hears it."""
    told = interruption.Interruption()
    told.install()
    with told.deferred(), cycles.unsought():
        from finetune_trainer import command  # noqa: PLC0415 - 0.3 s in which a signal would be lost
    return command.run(arguments, told)


if __name__ == "__main__":
    sys.exit(main())
