"""Tasks of lm-eval, asked of a loaded model: the only module that imports lm-eval, which is an extra of this package.

lm-eval puts the prompts together, cuts context and answer into tokens, and does the sums of its metrics. The model is asked by
the code that asks it about held-out rows: the same memory, the same ears for SIGTERM.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate as run_tasks

from finetune_trainer import config, eval_tasks, evaluate, metrics
from finetune_trainer.heldout import Row
from finetune_trainer.tables import IGNORED


@dataclass(frozen=True, kw_only=True)
class Asking:
    """What a model is asked with."""

    answering: evaluate.Answering
    """Tokenizer, rows in one pass, and who hears that something moved."""
    max_length: int
    """Tokens of prompt and answer together; longer prompts lose their beginning."""


def load(tasks: Sequence[config.EvalTask], dataset: Path) -> dict[str, Any]:
    """lm-eval's task of each of `tasks`, by name, over the rows in the prepared `dataset`."""
    return {
        task.name: ConfigurableTask(
            config=eval_tasks.of_lm_eval(task, eval_tasks.read(dataset, task), datasets.Dataset.from_list)
        )
        for task in tasks
    }


def scores(tasks: Sequence[config.EvalTask], dataset: Path, model: Any, asking: Asking) -> dict[str, float]:
    """All figures of `tasks`, asked of `model` as it is now. Raises what `asking.answering.move` raises."""
    found: dict[str, float] = {}
    loaded = load(tasks, dataset)
    for task in tasks:
        asking.answering.move(f"asking the task {task.name}")
        told: Any = run_tasks(
            lm=_Asked(model, asking),
            task_dict={"tasks": {task.name: loaded[task.name]}},
            bootstrap_iters=0,
            log_samples=False,
        )
        judged = eval_tasks.figures(task, told["results"][task.name])
        found |= {metrics.of_task(task.name, metric): value for metric, value in judged.items()}
    return found


class _Asked(TemplateLM):  # type: ignore[misc]  # lm-eval need not be installed where types are checked
    """A model as lm-eval asks it."""

    def __init__(self, model: Any, asking: Asking) -> None:
        super().__init__()
        self._model = model
        self._asking = asking
        self.tokenizer = asking.answering.tokenizer

    @property
    def eot_token_id(self) -> int:
        return self._asking.answering.facts.eos_token_id

    @property
    def prefix_token_id(self) -> int:
        """What stands before an answer without a prompt."""
        bos = self._asking.answering.facts.bos_token_id
        return self.eot_token_id if bos is None else bos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:  # noqa: FBT001 - lm-eval's
        """Tokens of `string`, with what the tokenizer puts before a text, unless that stands there."""
        begins = self.tokenizer.bos_token
        if add_special_tokens is None:
            add_special_tokens = not (begins and string.startswith(begins))
        ids: list[int] = self.tokenizer.encode(string, add_special_tokens=add_special_tokens)
        return ids

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        """How likely (nats) each answer is after its prompt, and whether every token of it is the likeliest."""
        rows = [self._row(*request) for request in requests]
        answering = self._asking.answering
        said = evaluate.said_of(self._model, rows, batch_size=answering.batch_size, move=answering.move)
        wanted = [sum(label != IGNORED for label in row["labels"][1:]) for row in rows]
        return [
            (likely, right == count)
            for likely, right, count in zip(said.log_probs, said.right, wanted, strict=True)
        ]

    def _row(self, texts: tuple[str, str], context: list[int], answer: list[int]) -> Row:
        if not answer:  # its letters went into the last token of the prompt
            answer = self.tok_encode(texts[1], add_special_tokens=False)
        cut = slice(-self._asking.max_length, None)
        return {
            "input_ids": [*context, *answer][cut],
            "labels": [*[IGNORED] * len(context), *answer][cut],
        }

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:  # noqa: FBT001, FBT002 - lm-eval's
        """The answers, each up to the first of the texts that end it, without spaces at its ends."""
        del disable_tqdm
        settings = requests[0].args[1]  # one task, one way to answer
        new = settings["max_gen_toks"]
        room = max(self._asking.max_length - new, 1)
        answering = replace(self._asking.answering, max_new_tokens=new)
        prompts = [self.tok_encode(request.args[0])[-room:] for request in requests]
        return [_until(said, settings["until"]) for said in answering.answers(self._model, prompts)]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:  # noqa: FBT001, FBT002 - same
        """Asked by tasks of another kind, of which `eval_tasks` makes none."""
        raise NotImplementedError


def _until(text: str, ends: Sequence[str]) -> str:
    """`text` up to the first of `ends`."""
    for end in ends:
        text = text.partition(end)[0]
    return text.strip()
