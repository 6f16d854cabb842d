"""Settings that say nothing together: refused with a sentence, because a library would ignore one of them or fail late. Pure."""

from collections.abc import Iterator

from finetune_trainer import config, errors, metrics, sharding

DPO_LOSSES = frozenset(
    {
        *("sigmoid", "hinge", "ipo", "exo_pair", "nca_pair", "robust", "bco_pair", "sppo_hard"),
        *("aot", "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft", "sigmoid_norm"),
    }
)
"""TRL's, a test asks it."""

SMOOTHED = frozenset({"exo_pair", "robust", "aot", "aot_unpaired"})
"""Those of them that know label smoothing: TRL's sigmoid does not."""

KTO_LOSSES = frozenset({"kto", "apo_zero_unpaired"})

SHARED_OUT = frozenset({"adamw_torch_fused", "adamw_torch"})
"""Optimisers whose state can be: torch's own. bitsandbytes' kernels know no DTensor, and Adafactor's means go by whole matrices."""


def check(run: config.Run) -> None:
    """Raises `SettingsDoNotFit` for the first pair of settings that contradict each other."""
    for problem in (
        *_method(run),
        *_tuning(run),
        *_sharding(run),
        *_stopping(run),
        *_scoring(run),
        *_tasks(run),
    ):
        raise errors.SettingsDoNotFit(problem)


def _method(run: config.Run) -> Iterator[str]:
    """What the method cannot do."""
    training, said = run.training, run.training.dpo
    if run.method == "SFT":
        if said:
            yield "spec.training.dpo: SFT has no such settings; leave it out, or set spec.method to DPO, ORPO or KTO"
        if training.packing and training.group_by_length:
            yield "spec.training.groupByLength: packs are all of nearly the same length; leave it out, or leave packing out"
        return
    instead = "leave it out, or set spec.method to SFT"
    if training.packing:
        yield f"spec.training.packing: {run.method} compares whole answers, which cannot share a sequence; {instead}"
    if training.group_by_length:
        yield f"spec.training.groupByLength: {run.method} draws its rows in an order of its own; {instead}"
    if training.neftune_noise_alpha:
        yield (
            f"spec.training.neftuneNoiseAlpha: the noise would also disturb the comparison of answers that {run.method} learns "
            f"from; {instead}"
        )
    if said:
        yield from {"DPO": _dpo, "ORPO": _orpo, "KTO": _kto}[run.method](said)


def _dpo(said: config.Dpo) -> Iterator[str]:
    losses = said.loss_type or ("sigmoid",)
    if unknown := [name for name in losses if name not in DPO_LOSSES]:
        yield f"spec.training.dpo.lossType: DPO has no loss {unknown[0]!r}; use one of {_listed(DPO_LOSSES)}"
    if said.label_smoothing and not SMOOTHED & set(losses):
        yield (
            f"spec.training.dpo.labelSmoothing: {' and '.join(losses)} would ignore it; leave it out, or set "
            f"spec.training.dpo.lossType to one of {_listed(SMOOTHED)}"
        )
    if "exo_pair" in losses and not said.label_smoothing:
        yield "spec.training.dpo.lossType: exo_pair needs a spec.training.dpo.labelSmoothing above 0, for example 0.001"


def _orpo(said: config.Dpo) -> Iterator[str]:
    if said.loss_type:
        yield "spec.training.dpo.lossType: ORPO has one loss only; leave it out, or set spec.method to DPO"
    if said.label_smoothing:
        yield "spec.training.dpo.labelSmoothing: ORPO would ignore it; leave it out"


def _kto(said: config.Dpo) -> Iterator[str]:
    losses = said.loss_type or ("kto",)
    if len(losses) > 1 or losses[0] not in KTO_LOSSES:
        told = f"KTO has no loss {losses[0]!r}; use" if len(losses) == 1 else "KTO takes one loss; use"
        yield f"spec.training.dpo.lossType: {told} one of {_listed(KTO_LOSSES)}"
    if said.label_smoothing:
        yield "spec.training.dpo.labelSmoothing: KTO would ignore it; leave it out"


def _tuning(run: config.Run) -> Iterator[str]:
    """What the kind of tuning would ignore. Every field of run.json has a default: only another value was said."""
    tuning = run.tuning
    if tuning.type == "Full" and tuning.lora != config.Lora():
        yield "spec.tuning.lora: Full trains all weights and has no adapter; leave lora out, or set spec.tuning.type to LoRA"
    if tuning.type == "Full" and run.model.adapter_from:
        yield (
            "spec.model.adapterFrom: Full trains all weights, and would leave the adapter out; set spec.tuning.type to LoRA or "
            "QLoRA, or leave adapterFrom out"
        )
    if tuning.type == "Full" and run.output.merged:
        yield "spec.output.merged: Full publishes whole weights already; leave it out, or set spec.tuning.type to LoRA"
    if tuning.type != "QLoRA" and tuning.quantization != config.Quantization():
        yield f"spec.tuning.quantization: {tuning.type} quantises nothing; leave it out, or set spec.tuning.type to QLoRA"


def _sharding(run: config.Run) -> Iterator[str]:
    """What weights that are shared out over several GPUs cannot have."""
    if not sharding.sharded(run):
        return
    processes, one = run.resources.processes, "train on one GPU, or set spec.tuning.type to LoRA"
    if run.training.optimizer not in SHARED_OUT:
        yield (
            f"spec.training.optimizer: {run.training.optimizer} cannot split its state over {processes} GPUs; use one of "
            f"{_listed(SHARED_OUT)}, {one}"
        )
    if run.evaluation.keep_best:
        yield (
            f"spec.evaluation.keepBest: where all weights are trained on {processes} GPUs, only those of the last step can be "
            f"published; leave it out, {one}"
        )
    if run.evaluation.tasks:
        yield f"spec.evaluation.tasks: one process asks them, and {processes} GPUs share the weights; leave them out, {one}"


def _stopping(run: config.Run) -> Iterator[str]:
    if run.training.early_stopping and not run.evaluation.every_steps:
        yield (
            "spec.training.earlyStopping: the held-out loss is not measured during training; set spec.evaluation.everySteps, or "
            "leave it out"
        )
    if run.evaluation.keep_best and not run.evaluation.every_steps:
        yield (
            "spec.evaluation.keepBest: the held-out loss is not measured during training, so no step can be found best; set "
            "spec.evaluation.everySteps, or leave it out"
        )


def _scoring(run: config.Run) -> Iterator[str]:
    asked = "bertscore" in run.evaluation.metrics
    if asked and not run.evaluation.bert_score:
        yield (
            "spec.evaluation.metrics: bertscore needs a model that compares texts; name one in "
            "spec.evaluation.bertScore.model.uri, or leave bertscore out"
        )
    if run.evaluation.bert_score and not asked:
        yield "spec.evaluation.bertScore: no metric asks for it; add bertscore to spec.evaluation.metrics, or leave it out"


def _tasks(run: config.Run) -> Iterator[str]:
    names = [task.name for task in run.evaluation.tasks or ()]
    for at, task in enumerate(run.evaluation.tasks or ()):
        field = f"spec.evaluation.tasks[{at}]"
        if task.name in names[:at]:
            yield f"{field}.name: another task is called {task.name} too; give each task a name of its own"
        if (task.multiple_choice is None) == (task.generate is None):
            yield f"{field}: set exactly one of multipleChoice and generate"
        chosen = task.multiple_choice
        if chosen and (chosen.choices is None) == (chosen.choices_column is None):
            yield f"{field}.multipleChoice: set exactly one of choices and choicesColumn"
    figures = metrics.measured(run.method, run.evaluation.metrics, "tuned", metrics.of_tasks(run))
    count = len(figures - {"loss", "perplexity"})
    if names and count > metrics.MOST_FIGURES:
        yield (
            f"spec.evaluation.tasks: {count} figures would be measured beside the loss, and the status has room for "
            f"{metrics.MOST_FIGURES}; ask for fewer tasks or metrics"
        )


def check_room(run: config.Run, *, max_length: int) -> None:
    """Raises `SettingsDoNotFit` where the answer of a task may be as long as all that the model sees at once.

    `max_length`: longest sequence (tokens): what was asked for, or what the model was made for, if that is less.
    """
    for at, task in enumerate(run.evaluation.tasks or ()):
        if task.generate and task.generate.max_new_tokens >= max_length:
            raise errors.SettingsDoNotFit(
                f"spec.evaluation.tasks[{at}].generate.maxNewTokens: {task.generate.max_new_tokens} tokens leave no room for a "
                f"prompt: prompt and answer share {max_length} (spec.training.maxLength, or what the model was made for); lower it"
            )


def check_held_out(run: config.Run, *, rows: int, answered: int) -> None:
    """Raises `SettingsDoNotFit` where something goes by held-out rows, and there are none.

    `answered`: those of them that have an answer of their own.
    """
    for problem in _held_out(run, rows, answered):
        raise errors.SettingsDoNotFit(problem)


def _held_out(run: config.Run, rows: int, answered: int) -> Iterator[str]:
    none = "no row is held out"
    cure = "set spec.dataset.evalFraction or spec.dataset.eval, or leave it out"
    asked = [name for name in run.evaluation.metrics if name not in {"loss", "perplexity"}]
    generated = [name for name in asked if name in metrics.GENERATED]
    if not rows:
        if run.training.early_stopping:
            yield f"spec.training.earlyStopping: {none}, so there is no loss to go by; {cure}"
        if run.evaluation.keep_best:
            yield f"spec.evaluation.keepBest: {none}, so there is no loss to go by; {cure}"
        if run.evaluation.gate:
            yield f"spec.evaluation.gate: {none}, so there are no figures to go by; {cure}"
        if asked:
            yield f"spec.evaluation.metrics: {none} to measure {asked[0]} on; {cure}"
        if run.evaluation.tasks:
            yield (
                f"spec.evaluation.tasks: {none}, and tasks are only reported together with the held-out loss; {cure}"
            )
    elif generated and not answered:
        yield (
            f"spec.evaluation.metrics: {generated[0]} compares answers, and no held-out row has one of its own; leave it out, or "
            "hold out rows that are answered"
        )


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
