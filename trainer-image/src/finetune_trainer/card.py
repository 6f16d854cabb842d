"""What a person reads about the result: the model card and a report in one HTML file."""

from dataclasses import dataclass
from typing import Any

import jinja2

from finetune_trainer import config, curves, metrics, page
from finetune_trainer.plural import counted
from finetune_trainer.task import Evaluated, Measured, Trained

LOSSES = {
    "SFT": "Mean loss (nats per learned token; lower is better)",
    "DPO": (
        "DPO's mean loss per pair (lower is better): -log sigmoid of the reward of the better answer minus that of the worse one; "
        "0.693 before training"
    ),
    "ORPO": (
        "ORPO's mean loss (lower is better): nats per token of prompt and better answer, plus a penalty for the odds of the worse "
        "one"
    ),
    "KTO": "KTO's mean loss per answer (lower is better): between 0 and 1; 0.5 before training",
}
"""What `loss` means, by method."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that card and report tell."""

    run: config.Run
    base_model: str
    """Id of the base model."""
    revision: str | None
    data: dict[str, Any]
    """`result.dataset` of Prepare."""
    resolved: dict[str, Any]
    """`result.resolved` of Prepare."""
    trained: Trained
    samples: list[dict[str, Any]]
    """As published: messages, expected, base, tuned."""
    history: list[dict[str, Any]]
    """One entry per step: `step`, `loss`, `learning_rate`, ..."""
    data_report: dict[str, Any] | None
    """data-report.json; None where Prepare left none."""
    environment: dict[str, str]
    """Versions, and what they ran on."""
    provenance: dict[str, str]
    """Which job, image, base model and data this was made from."""
    created: str
    """Time, as Kubernetes writes it."""

    @property
    def on_hub(self) -> bool:
        """Whether the base model can be loaded by its id."""
        return self.run.model.uri.startswith("hf://")

    @property
    def whole(self) -> bool:
        """Whether all weights are here, and not an adapter."""
        return self.run.tuning.type == "Full"

    @property
    def what(self) -> str:
        """What lies here, up to the name of the base model."""
        if self.whole:
            return f"All weights after {self.run.method} of"
        return f"A {self.run.tuning.type} adapter (rank {self.run.tuning.lora.rank}) for"

    @property
    def loss_told(self) -> str:
        """What `loss` means."""
        return LOSSES[self.run.method]

    @property
    def compared(self) -> dict[str, Measured]:
        """What was measured, by its name in the tables: base and tuned, and between them what training went on from."""
        found = self.evaluation
        if found is None:
            return {}
        start = {"start": found.start} if found.start else {}
        return {"base": found.base, **start, "tuned": found.tuned}

    @property
    def measures(self) -> list[tuple[str, list[str]]]:
        """Name, and the number of each of `compared`; a dash where one of them has no such number."""
        found = [{**one.wire(), **one.other} for one in self.compared.values()]
        names = dict.fromkeys(name for one in found for name in one)
        hidden = {"other"} if all("perplexity" in one for one in found) else {"other", "perplexity"}
        return [(name, [_number(one.get(name)) for one in found]) for name in names if name not in hidden]

    @property
    def by_tasks(self) -> list[str]:
        """Names of the figures that tasks of lm-eval gave."""
        return metrics.of_tasks(self.run)

    @property
    def started_from(self) -> str | None:
        """Where the adapter lies that training went on from."""
        origins = self.run.origins
        return origins.adapter.uri if origins and origins.adapter else None

    @property
    def held_out(self) -> str:
        """How many rows base and tuned were measured on."""
        found = self.evaluation
        return counted(found.rows if found else 0, "held-out row")

    @property
    def evaluation(self) -> Evaluated | None:
        """None where nothing was held out."""
        return self.trained.evaluation

    @property
    def settings(self) -> dict[str, Any]:
        """What was said and what was chosen, as one flat table."""
        training = self.run.training.wire()
        tuning = self.run.tuning
        parts: dict[str, config.Value] = {"lora": tuning.lora} if not self.whole else {}
        parts |= {"quantization": tuning.quantization} if tuning.type == "QLoRA" else {}
        said = {f"{part}.{name}": value for part, it in parts.items() for name, value in it.wire().items()}
        table = {
            "method": self.run.method,
            "tuning": tuning.type,
            "output.dtype": self.run.output.dtype,
            **said,
            **training,
            **self.resolved,
        }
        return {name: _shown(value) for name, value in table.items()}


def render(facts: Facts) -> dict[str, str]:
    """`README.md` and `report.html`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("finetune_trainer", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    different = page.most_different(facts.samples)
    known = {
        "facts": facts,
        "frame": curves,
        "plots": page.plots(
            facts.history, evaluation=facts.evaluation, total_steps=facts.trained.total_steps
        ),
        "lengths": page.lengths(facts.data_report),
        "left_out": page.left_out(facts.data_report),
        "different": different,
        "others": page.others(facts.samples, different),
    }
    return {
        "README.md": environment.get_template("README.md.j2").render(known),
        "report.html": environment.get_template("report.html.j2").render(known),
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
