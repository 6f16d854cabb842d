"""The look at the model's architecture. That of a common model follows from its config.json (`outline`).

Others are built by transformers, in a process of its own: it alone imports torch, while this one reads rows.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path

from finetune_trainer import config, errors, helper, inspection, isolation, unneeded
from finetune_trainer.helper import Failure, Helper
from finetune_trainer.inspection import Architecture

PROGRAM = "from finetune_trainer import looking; looking.main()"


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What the model is, and what follows for a run."""

    found: Architecture
    targets: tuple[str, ...]
    """Modules that get an adapter."""


class Looking:
    """A look under way."""

    def __init__(
        self, run: config.Run, model: Path, *, outlined: Architecture | None, other: Helper | None
    ) -> None:
        """`other`: the process that looks where there is no outline; None: this one does."""
        self._run = run
        self._model = model
        self._outlined = outlined
        self._other = other

    @cached_property
    def _answer(self) -> Architecture | Failure:
        """It comes once; a failure is raised as often as it is asked for."""
        if self._outlined:
            return self._outlined
        if self._other:
            answer: Architecture | Failure = self._other.receive()
            return answer
        return helper.tried(lambda: inspection.architecture(self._model))

    @cached_property
    def result(self) -> Looked:
        """What was found; waits for it.

        Raises `UnsupportedModelFiles`, `TargetModulesNotFound`, `SettingsDoNotFit` and `WorkerDied`.
        """
        return _looked(self._run, helper.answered(self._answer))

    def check(self) -> None:
        """Raises what is known to be wrong by now, without waiting."""
        if self._other is None or self._other.pipe.poll():
            _ = self.result


@contextmanager
def beside(run: config.Run, model: Path) -> Iterator[Looking]:
    """Look at the model in the folder `model` while the block runs; in this process where it has torch.

    Whatever the block raises, what is wrong with the model is raised instead.
    """
    outlined = inspection.outlined(model)
    away = outlined is None and unneeded.left_out(unneeded.TORCH)
    other = Helper.start(PROGRAM, str(model), does="looks at the model") if away else None
    looking = Looking(run, model, outlined=outlined, other=other)
    try:
        yield looking
    except errors.Interrupted:
        raise
    except Exception:
        _ = looking.result
        raise
    finally:
        if other:
            other.stop()


def _looked(run: config.Run, found: Architecture) -> Looked:
    """What `found` means for `run`."""
    lora = run.tuning.lora
    targets = () if run.tuning.type == "Full" else inspection.target_modules(lora.target_modules, found)
    inspection.check_saved(lora.modules_to_save, targets, found)
    if run.training.packing and found.unpackable:
        raise isolation.refusal(found.kind, found.unpackable)
    return Looked(found=found, targets=targets)


def main() -> None:
    """Look, and answer."""
    descriptor, model = sys.argv[1:]
    unneeded.leave_out(unneeded.WITHOUT_WEIGHTS)
    with Connection(int(descriptor)) as pipe:
        pipe.send(helper.tried(lambda: inspection.architecture(Path(model))))
