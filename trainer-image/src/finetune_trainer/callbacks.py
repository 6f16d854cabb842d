"""What happens beside the training loop: steps told, stops agreed on, checkpoints set apart, divergence seen."""
# ruff: noqa: ARG002 - transformers calls every hook with everything it has

import math
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from finetune_trainer import config, errors, failpoints
from finetune_trainer.interruption import Interruption

Tell = Callable[..., object]
"""Writes fields of the progress document; does nothing on other ranks than 0."""

SMOOTHED = 10
"""Steps over which the loss and speed that people see are averaged."""

LINE_SECONDS = 5.0
"""Least time between two lines in the pod's log."""


class Beginning(TrainerCallback):
    """What is done when the model is where it is trained, and no step has been made; on all ranks."""

    def __init__(self, begin: Callable[[], object]) -> None:
        self._begin = begin

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Weights are sharded, and those of a checkpoint are in their place."""
        self._begin()


class Finite(TrainerCallback):
    """Stop at the first loss that is not a number; by default transformers logs it as 0.0 and trains on."""

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Look at every logged step. In fp16 an infinite gradient is how the loss scale finds its place: that step is skipped."""
        logs: dict[str, Any] = given["logs"]
        for name in ("loss",) if args.fp16 else ("loss", "grad_norm"):
            value = logs.get(name)
            if isinstance(value, float) and not math.isfinite(value):
                raise errors.NonFiniteLoss(
                    f"the {name.replace('_', ' ')} became {value} at step {state.global_step} (learning rate "
                    f"{logs.get('learning_rate')}); lower spec.training.learningRate, raise spec.training.warmupRatio, or look "
                    "for broken rows in the data"
                )


class Failing(TrainerCallback):
    """What goes wrong on purpose when a step begins, or within its first forward pass (failpoints.py)."""

    def __init__(self) -> None:
        self._step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Look at every batch where it really enters the model: the arguments only say how large it should be."""
        given["model"].get_input_embeddings().register_forward_pre_hook(self._on_batch)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """A step is about to be made."""
        self._step = state.global_step + 1
        failpoints.reach("Step", step=self._step)

    def _on_batch(self, module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if module.training:
            failpoints.reach(
                "Step", step=self._step, sequences=len(given[0]), memory_error=torch.OutOfMemoryError
            )


class Telling(TrainerCallback):
    """Rank 0 tells every step in the progress document, and now and then in a line for people."""

    def __init__(self, tell: Tell, *, tokens_per_epoch: int, flops_per_token: float | None) -> None:
        self._tell = tell
        self._tokens_per_epoch = tokens_per_epoch
        self._flops = flops_per_token
        """Share of the accelerators' arithmetic that one token per second takes."""
        self._losses: deque[float] = deque(maxlen=SMOOTHED)
        self._marks: deque[tuple[float, int, float]] = deque(maxlen=SMOOTHED + 1)
        """(time (s), step, tokens so far in this process), one per logged step."""
        self._line_at = -math.inf
        self._began_at = 0.0
        """Passes over the data that an earlier attempt has done."""
        self.tokens_per_second: float | None = None
        self.loss: float | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Say where training starts, or goes on."""
        self._losses.extend(entry["loss"] for entry in state.log_history[-SMOOTHED:] if "loss" in entry)
        self._marks.append((time.monotonic(), state.global_step, 0.0))
        self._began_at = state.epoch or 0.0
        self._tell(
            stage="Train", step=state.global_step, total_steps=state.max_steps, epoch=state.epoch,
            message=f"step {state.global_step} of {state.max_steps}",
        )  # fmt: skip

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """A micro-batch of a long step is movement, too."""
        self._tell()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """One optimiser step is done."""
        logs: dict[str, Any] = given["logs"]
        if "loss" not in logs:  # the summary at the end
            return
        # TRL counts tokens from 0 again after a resume, and those of ORPO not at all: only differences are used.
        tokens = logs.get("num_tokens", ((state.epoch or 0.0) - self._began_at) * self._tokens_per_epoch)
        self._marks.append((time.monotonic(), state.global_step, float(tokens)))
        self._losses.append(logs["loss"])
        self.loss = sum(self._losses) / len(self._losses)
        seconds_per_step = self._rate()
        eta = round((state.max_steps - state.global_step) * seconds_per_step)
        self._tell(
            stage="Train",  # a measurement between the steps may have been another
            step=state.global_step, total_steps=state.max_steps, epoch=state.epoch, loss=self.loss,
            learning_rate=logs.get("learning_rate"), tokens_per_second=self.tokens_per_second,
            mfu=self._mfu(), eta_seconds=eta, message=f"step {state.global_step} of {state.max_steps}",
        )  # fmt: skip
        self._print(logs, state, seconds_per_step)

    def _rate(self) -> float:
        """Seconds per step over the last steps; sets the tokens per second."""
        (began, first, before), (now, last, after) = self._marks[0], self._marks[-1]
        passed = max(now - began, 1e-6)
        self.tokens_per_second = (after - before) / passed
        return passed / max(last - first, 1)

    def _mfu(self) -> float | None:
        return self._flops * self.tokens_per_second if self._flops and self.tokens_per_second else None

    def _print(self, logs: dict[str, Any], state: TrainerState, seconds_per_step: float) -> None:
        ends = state.global_step in {1, state.max_steps}
        if ends or time.monotonic() - self._line_at >= LINE_SECONDS:
            self._line_at = time.monotonic()
            print(  # noqa: T201 - the pod's log
                f"step {state.global_step}/{state.max_steps} loss {logs['loss']:.4f} lr {logs['learning_rate']:.2e} "
                f"{self.tokens_per_second or 0:.0f} tokens/s {seconds_per_step:.2f} s/step",
                flush=True,
            )


class Measuring(TrainerCallback):
    """Rank 0 measures the held-out loss every so many steps; the others wait for it at the next step's first collective.

    Where weights are sharded (`together`), they make its forward passes with it.
    """

    def __init__(
        self, measure: Callable[[], float | None], *, every_steps: int, together: bool = False
    ) -> None:
        self._measure = measure
        """The loss, nats per token; None where SIGTERM came first, and on other ranks than 0."""
        self._every_steps = every_steps
        self._together = together

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Make up for a measurement that SIGTERM cut short: stopping early goes by all of them."""
        measured = {entry["step"] for entry in state.log_history if "eval_loss" in entry}
        if state.global_step and state.global_step not in measured:
            self._look(state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """The last step is left to the evaluation after training."""
        self._look(state)

    def _look(self, state: TrainerState) -> None:
        due = state.global_step % self._every_steps == 0 and state.global_step < state.max_steps
        if not due or not (state.is_world_process_zero or self._together):
            return
        failpoints.reach("Measure", step=state.global_step)
        if (loss := self._measure()) is not None:
            state.log_history.append({"step": state.global_step, "eval_loss": loss})


def no_longer_falls(history: Sequence[Mapping[str, Any]], asked: config.EarlyStopping) -> bool:
    """Whether the last measurements, as many as `patience`, brought no new lowest held-out loss, by more than `threshold`.

    It goes by the log alone, which every checkpoint holds: a run that goes on stops where it would have stopped.
    """
    lowest, waited = math.inf, 0
    for loss in (entry["eval_loss"] for entry in history if "eval_loss" in entry):
        if loss < lowest - asked.threshold:
            lowest, waited = loss, 0
        else:
            waited += 1
    return waited >= asked.patience


class Steering(TrainerCallback):
    """When to save, and when to stop: agreed by all ranks at the end of a step, so that none waits for another."""

    def __init__(
        self,
        interruption: Interruption,
        *,
        every_steps: int | None,
        every_minutes: float | None,
        early: config.EarlyStopping | None = None,
    ) -> None:
        self._interruption = interruption
        self._early = early
        self._every_steps = every_steps
        self._every_seconds = None if every_minutes is None else every_minutes * 60
        self._saved_at = time.monotonic()
        self.stopped = False
        """Whether training ended early because the pod was told to."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Decide together. One signalled rank stops all: SIGTERM to one of two nodes must not leave the other in a collective."""
        overdue = self._every_seconds is not None and time.monotonic() - self._saved_at >= self._every_seconds
        # Rank 0 alone has measured.
        enough = self._early is not None and no_longer_falls(state.log_history, self._early)
        told, overdue, enough = any_rank((self._interruption.noted, overdue, enough), args.device)
        last = enough or state.global_step >= state.max_steps
        due = overdue or (self._every_steps is not None and state.global_step % self._every_steps == 0)
        self.stopped = told and not last
        control.should_save = last or due or self.stopped
        control.should_training_stop = control.should_training_stop or self.stopped or enough
        if control.should_save:
            self._saved_at = time.monotonic()


class SettingApart(TrainerCallback):
    """Move a checkpoint, once every rank has written its part, to where the supervisor takes it from.

    The move is one step: what lies there is complete. The trainer has no further use for it.
    """

    def __init__(self, finished: Path, tell: Tell, *, beside: tuple[Path, ...]) -> None:
        self._finished = finished
        self._tell = tell
        self._beside = beside
        """Further files to keep with every checkpoint."""

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Called on all ranks when this one's part is written."""
        failpoints.reach("Checkpoint", step=state.global_step)
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        if dist.is_initialized():
            _bring_together(folder, here=args.local_process_index == 0 and not state.is_world_process_zero)
        if not state.is_world_process_zero:
            return
        for path in self._beside:
            if path.exists():
                shutil.copy(path, folder)
        self._finished.mkdir(parents=True, exist_ok=True)
        folder.rename(self._finished / f"step-{state.global_step}")
        self._tell(message=f"checkpoint of step {state.global_step} written")


def _bring_together(folder: Path, *, here: bool) -> None:
    """Bring what other nodes' ranks wrote into their own disk's `folder` to that of rank 0: the states of their dice.

    `here`: whether this rank speaks for a node other than rank 0's. Returns when all ranks have written.
    """
    dist.barrier()
    mine = {path.name: path.read_bytes() for path in folder.iterdir()} if here else {}
    theirs: list[dict[str, bytes]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(theirs, mine)
    if here:
        shutil.rmtree(folder)
    if dist.get_rank() == 0:
        for name, content in (item for files in theirs for item in files.items()):
            (folder / name).write_bytes(content)


def any_rank(flags: tuple[bool, ...], device: torch.device) -> tuple[bool, ...]:
    """Each flag, true where it is on any rank."""
    if not dist.is_initialized():
        return flags
    votes = torch.tensor([int(flag) for flag in flags], device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return tuple(bool(vote) for vote in votes.tolist())
