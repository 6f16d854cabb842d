"""What the supervisor tells a tracker's process, and what it hears of it: three small files."""

from pathlib import Path
from typing import Any, Literal

import pydantic

from finetune_trainer import config

Kind = Literal["wandb", "mlflow", "tensorboard"]
Outcome = Literal["Finished", "Failed", "Interrupted"]

TITLES: dict[Kind, str] = {"wandb": "W&B", "mlflow": "MLflow", "tensorboard": "TensorBoard"}
"""How people call them."""


class Assignment(config.Value):
    """One tracker's process: everything it is told at its start. All paths are absolute."""

    kind: Kind
    run: Path
    """run.json."""
    resolved: dict[str, Any]
    """What was chosen where the author said nothing."""
    figures: Path
    """What has been logged so far, in the lines of metrics.jsonl; it grows, and a new start of the ranks begins it again."""
    folder: Path
    """The process' own. It keeps `told.json` there, and what shall be published in `files`."""

    @property
    def finish(self) -> Path:
        """Where the supervisor says that the run has ended: `Finish`."""
        return self.folder / "finish.json"

    @property
    def told(self) -> Path:
        """Where the process says how far it is: `Told`."""
        return self.folder / "told.json"

    @property
    def files(self) -> Path:
        """What shall lie beside the result."""
        return self.folder / "files"


class Finish(config.Value):
    """The end of the run."""

    outcome: Outcome
    figures: Path | None = None
    """The published metrics.jsonl; None where there is none."""
    step: int | None = None
    """The last one."""
    evaluation: dict[str, float] = pydantic.Field(default_factory=dict)
    """`tuned/loss` and the like."""


class Told(config.Value):
    """How far a tracker's process is."""

    trouble: str | None = None
    """What went wrong last, as half a sentence; None: nothing, or it went well again."""
    done: bool = False
    """Whether it has been told everything, the end included."""


def write(path: Path, value: config.Value) -> None:
    """Put `value` at `path`, whole or not at all."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(value.model_dump_json(by_alias=True), encoding="utf-8")
    temporary.replace(path)
