"""What the rows of one source mean: everything that makes an example of a row, in one small value that can be pickled."""

from dataclasses import dataclass

from finetune_trainer import config
from finetune_trainer.data import formats, templates
from finetune_trainer.data.columns import Columns
from finetune_trainer.data.rows import Example, LossOn, Row
from finetune_trainer.data.templates import Wording


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """How the rows of a source are understood. It holds no file and no generator: worker processes get a copy."""

    format: str
    """As the report names it."""
    loss_on: LossOn
    columns: Columns
    wordings: tuple[Wording, ...] = ()
    """The author's templates; none where the format says it all."""
    chat: bool
    """Whether the model has a chat template."""
    seed: int
    """By which rows draw their template."""

    def example(self, row: Row) -> Example:
        """What `row` says. Raises `InvalidRow`, `ColumnMissing`, `TemplateColumnMissing`, `NoAssistantTurn`."""
        if self.wordings:
            return templates.understand(row, self.wordings, self.loss_on, seed=self.seed)
        return formats.understand(row, self.format, self.columns, self.loss_on, chat=self.chat)


def found(first: Row, source: config.DataSource, field: str, run: config.Run, *, chat: bool) -> Meaning:
    """The meaning of a source, by its first row. `field`: `spec.dataset.train[0]`; `chat`: whether the model has a chat template.

    Raises what does not fit: `UnknownFormat`, `ColumnMissing`, `FormatDoesNotFitMethod`, `InvalidTemplate`, ...
    """
    wordings = templates.parse(source.template or (), f"{field}.template")
    if wordings:
        formats.check_method(
            formats.TEMPLATE, run.method, f"{field}.template", "a template makes one answer, to be learned"
        )
        templates.check(wordings, first)
        name = formats.TEMPLATE
    else:
        name = formats.recognise(first, source, field, method=run.method)
    return Meaning(
        format=name,
        loss_on=formats.loss_on(name, run.training.loss_on, field),
        columns=Columns.of(source.columns),
        wordings=wordings,
        chat=chat,
        seed=run.training.seed,
    )
