"""run.json: the resolved run, as docs/contract.md has it."""

from typing import Any, TypeVar

from finetune_operator.api.eval_tasks import TaskData
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.api.sources import AdapterFrom, DataSource, Model, Output, ScoringModel
from finetune_operator.names import Owner
from finetune_operator.plan import quantities, uris
from finetune_operator.plan.origins import Origins
from finetune_operator.plan.resolve import Chosen, Sizes

VERSION = 1
Source = TypeVar("Source", DataSource, Model, AdapterFrom, ScoringModel, TaskData)


def run_config(
    owner: Owner,
    spec: FineTuneJobSpec,
    chosen: Chosen,
    sizes: Sizes,
    origins: Origins,
    *,
    image: str,
    stall_timeout: int,
) -> dict[str, Any]:
    """The document that the trainer reads."""
    spec = with_credentials(spec)
    wire = spec.wire()
    parts = (
        "method",
        "model",
        "dataset",
        "tuning",
        "training",
        "evaluation",
        "checkpoint",
        "output",
        "tracking",
    )
    return {
        "version": VERSION,
        "job": {"namespace": owner.namespace, "name": owner.name, "uid": owner.uid},
        "image": image,
        "profile": {"name": chosen.name, "generation": chosen.generation} if chosen.name else None,
        **{part: wire[part] for part in parts if part in wire},
        **({"origins": origins.wire()} if origins.places else {}),
        "resources": _resources(chosen, sizes),
        "limits": {
            "stallTimeoutSeconds": spec.run_policy.stall_timeout_seconds or stall_timeout,
            "gracePeriodSeconds": chosen.spec.grace_period_seconds,
        },
        "hub": {"endpoint": chosen.spec.mirrors.hub, "offline": chosen.spec.mirrors.offline},
    }


def _resources(chosen: Chosen, sizes: Sizes) -> dict[str, Any]:
    """What the pods have."""
    gpu = chosen.spec.gpu
    there = sizes.gpus > 0 and not gpu.simulated
    return {
        "nodes": sizes.nodes,
        "processesPerNode": sizes.gpus if there else 1,
        "accelerator": "cuda" if there else "cpu",
        "gpuMemoryBytes": quantities.whole(gpu.memory) if gpu.memory else None,
        "gpuTeraflops": gpu.teraflops,
        "cpu": float(quantities.number(sizes.cpu)),
        "memoryBytes": quantities.whole(sizes.memory),
        "scratchBytes": quantities.whole(sizes.scratch),
    }


def with_credentials(spec: FineTuneJobSpec) -> FineTuneJobSpec:
    """A source without a Secret of its own gets the output's where scheme and bucket are the same."""
    dataset = spec.dataset.model_copy(
        update={
            part: [
                _credited(source, f"spec.dataset.{part}[{at}].uri", spec.output)
                for at, source in enumerate(getattr(spec.dataset, part))
            ]
            for part in ("train", "eval")
        }
    )
    model = _credited(spec.model, "spec.model.uri", spec.output)
    if model.adapter_from:
        adapter = _credited(model.adapter_from, "spec.model.adapterFrom.uri", spec.output)
        model = model.model_copy(update={"adapter_from": adapter})
    evaluation = spec.evaluation
    if evaluation.bert_score:
        scorer = _credited(evaluation.bert_score.model, uris.SCORER, spec.output)
        asked = evaluation.bert_score.model_copy(update={"model": scorer})
        evaluation = evaluation.model_copy(update={"bert_score": asked})
    if evaluation.tasks:
        tasks = [
            task.model_copy(update={"data": _credited(task.data, uris.task(at), spec.output)})
            for at, task in enumerate(evaluation.tasks)
        ]
        evaluation = evaluation.model_copy(update={"tasks": tasks})
    return spec.model_copy(update={"dataset": dataset, "model": model, "evaluation": evaluation})


def _credited(source: Source, field: str, output: Output) -> Source:
    """`source` with the output's Secret, if it is the output's bucket and it names none."""
    if source.uri is None:
        return source
    here, there = uris.place(source.uri, field), uris.place(output.uri, "spec.output.uri")
    if source.credentials_secret_ref or here.scheme not in uris.BUCKETS or here.bucket != there.bucket:
        return source
    return source.model_copy(update={"credentials_secret_ref": output.credentials_secret_ref})
