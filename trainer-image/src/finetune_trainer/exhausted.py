"""What to say when the accelerator's memory was not enough: the estimate of what failed, and what would fit in its place."""

from finetune_trainer import accelerator, batches, config, inspection, prepared, task
from finetune_trainer.estimate import fitting, setting, verdict
from finetune_trainer.estimate.memory import gib
from finetune_trainer.prepared import Prepared


def sentence(given: task.Task) -> str:
    """For the start of the ranks `given`, which has just failed. Looks at the model's config and at this machine's GPU."""
    run = config.load(given.run)
    document = (given.dataset / prepared.DOCUMENT).read_bytes()
    ready = Prepared.model_validate_json(document).at(given.micro_batch_size)
    rows, passes = batches.shared(ready.resolved, run.resources.processes)
    found = setting.of(
        run,
        accelerator.arithmetic(run, accelerator.machine()),
        targets=ready.resolved.target_modules,
        rows=rows,
        share=rows * passes,
        length=ready.longest,
        scored=ready.longest if ready.eval_rows else 0,
    )
    return verdict.exhausted(inspection.architecture(given.model).shape, found, _limit(run))


def _limit(run: config.Run) -> fitting.Limit | None:
    """What the profile promises; where it says nothing, what the GPU has."""
    if (told := fitting.limit(run)) is not None:
        return told
    import torch  # noqa: PLC0415 - a rank has it imported already

    if not torch.cuda.is_available():
        return None
    total = torch.cuda.mem_get_info()[1]
    return fitting.Limit(available=total, whose=f"the GPU has {gib(total)}")
