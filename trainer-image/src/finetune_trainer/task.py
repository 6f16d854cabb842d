"""What the supervisor tells the ranks, as a file, and where they leave what they made.

The ranks get no credentials: everything they read is on the pod's scratch disk before they start, and everything they
make is left there for the supervisor.
"""

from pathlib import Path

import pydantic

from finetune_trainer import config


class Task(config.Value):
    """One start of the ranks. All paths are absolute."""

    run: Path
    """run.json."""
    attempt: int
    """Counted from 1."""
    dataset: Path
    """Folder of the prepared dataset."""
    model: Path
    """Folder of the base model."""
    scorer: Path | None = None
    """Folder of the model that judges answers; None where none is asked for, and on all nodes but node 0."""
    progress: Path
    """The progress document, written by rank 0."""
    work: Path
    """The ranks' own folder, empty at the start."""
    resume: Path | None = None
    """A verified checkpoint to go on from."""
    micro_batch_size: int | None = None
    """Rows per forward pass of one process, where memory did not suffice for those that were resolved."""

    @property
    def output(self) -> Path:
        """Where the trainer saves; one run, one fresh folder: left-over files would be read."""
        return self.work / "trainer"

    @property
    def finished(self) -> Path:
        """Complete checkpoints, as `step-N`: moved here in one step, taken away by the supervisor."""
        return self.work / "finished"

    @property
    def figures(self) -> Path:
        """What has been logged so far, in the lines of metrics.jsonl; for the trackers."""
        return self.progress.with_name("figures.jsonl")

    @property
    def verdicts(self) -> Path:
        """How each rank ended."""
        return self.work / "verdicts"

    @property
    def artefact(self) -> Path:
        """The files to publish."""
        return self.work / "artefact"

    @property
    def trained(self) -> Path:
        """What training and evaluation came to: `Trained`."""
        return self.work / "trained.json"

    def save(self) -> Path:
        """Write the task into its work folder; the path is the ranks' argument."""
        self.work.mkdir(parents=True, exist_ok=True)
        path = self.work / "task.json"
        path.write_text(self.model_dump_json(by_alias=True), encoding="utf-8")
        return path


def load(path: Path) -> Task:
    """The task at `path`."""
    return Task.model_validate_json(path.read_bytes())


class Measured(config.Value):
    """How good one model is on the held-out rows."""

    loss: float
    """SFT: mean over all supervised tokens, nats. Other methods: their own (docs/methods.md)."""
    perplexity: float | None = None
    """e to SFT's loss; None where that is beyond all numbers."""
    other: dict[str, float] = pydantic.Field(default_factory=dict)
    """What the method is judged by besides, by name."""


class Evaluated(config.Value):
    """Base against tuned, on the same rows by the same code."""

    rows: int
    answered: int | None = None
    """Those of them whose answers were compared with their own; None where no metric asks for it."""
    base: Measured
    start: Measured | None = None
    """The base with the adapter that training went on from; None where it began a new one."""
    tuned: Measured


class Trained(config.Value):
    """What the ranks came to, for the supervisor's result."""

    step: int
    total_steps: int
    epoch: float
    loss: float | None = None
    """Training loss of the last steps, nats per token."""
    tokens_per_second: float | None = None
    evaluation: Evaluated | None = None
    """None where nothing is held out."""
    kept_step: int | None = None
    """The step whose weights are published; None: the last."""
