"""The form of `create`: a question for each thing that every job needs and nobody has said.

An answer is checked before the next question, by the rules that the whole job is checked by: what a person has typed is not lost to
a mistake.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import click

from kubectl_finetune import errors, screen
from kubectl_finetune.job import manifest
from kubectl_finetune.job.manifest import Manifest

METHODS = ("SFT", "DPO", "ORPO", "KTO")
NEEDS_NO_KEYS = "pvc://"
STAND_INS: dict[str, dict[str, Any]] = {
    "model": {"uri": "hf://somebody/model"},
    "dataset": {"train": [{"uri": "s3://bucket/rows.jsonl"}]},
    "output": {"uri": "s3://bucket/result"},
}
"""Something right for what is not said yet."""


class Question(NamedTuple):
    """One of the form."""

    is_open: Callable[[Manifest], bool]
    """Whether nobody has said it."""
    text: Callable[[Manifest], str]
    put: Callable[[Manifest, str], Manifest]
    """The job with the answer in it."""
    choices: tuple[str, ...] = ()
    default: str | None = None


def _lacks(part: str, field: str | None = None) -> Callable[[Manifest], bool]:
    """Whether `part` of the spec is not said, or `field` of it."""
    return lambda made: part not in made["spec"] or (field is not None and field not in made["spec"][part])


def _with(**parts: Callable[[Any, str], Any]) -> Callable[[Manifest, str], Manifest]:
    """Parts of the spec, each made from what it was and the answer."""

    def put(made: Manifest, answer: str) -> Manifest:
        spec = made["spec"]
        return {
            **made,
            "spec": {**spec, **{name: of(spec.get(name, {}), answer) for name, of in parts.items()}},
        }

    return put


def _unless_empty(put: Callable[[Manifest, str], Manifest]) -> Callable[[Manifest, str], Manifest]:
    return lambda made, answer: put(made, answer) if answer else made


def _number(answer: str) -> int | str:
    """What is no number is left to the rules, which say so."""
    return int(answer) if answer.isdecimal() else answer


QUESTIONS = (
    Question(
        lambda made: not made["metadata"].get("name"),
        lambda _: "Name of the job",
        lambda made, answer: {**made, "metadata": {**made["metadata"], "name": answer}},
    ),
    Question(
        _lacks("model", "uri"),
        lambda _: "Base model, for example hf://Qwen/Qwen3-0.6B",
        _with(model=lambda before, answer: {**before, "uri": answer}),
    ),
    Question(
        _lacks("dataset", "train"),
        lambda _: "Training data, for example s3://team-a/tickets.jsonl",
        _with(dataset=lambda before, answer: {**before, "train": [{"uri": answer}]}),
    ),
    Question(
        _lacks("method"),
        lambda _: "Method",
        _with(method=lambda _, answer: answer),
        choices=METHODS,
        default="SFT",
    ),
    Question(
        _lacks("output", "uri"),
        lambda made: f"Where the result goes, for example s3://team-a/adapters/{made['metadata']['name']}",
        _with(output=lambda before, answer: {**before, "uri": answer}),
    ),
    Question(
        lambda made: (
            "credentialsSecretRef" not in made["spec"]["output"]
            and not str(made["spec"]["output"].get("uri")).startswith(NEEDS_NO_KEYS)
        ),
        lambda _: "Secret with the bucket's keys (empty: none)",
        _unless_empty(
            _with(output=lambda before, answer: {**before, "credentialsSecretRef": {"name": answer}})
        ),
        default="",
    ),
    Question(
        _lacks("resources", "gpusPerNode"),
        lambda _: "GPUs per node (empty: the profile's number, 0: train on CPU)",
        _unless_empty(_with(resources=lambda before, answer: {**before, "gpusPerNode": _number(answer)})),
        default="",
    ),
)


def filled(made: Manifest) -> Manifest:
    """`made` with the answers of whoever sits at the terminal."""
    manifest.checked(_whole(made))  # what no answer mends
    for question in QUESTIONS:
        if question.is_open(made):
            made = _answered(made, question)
    return made


def _answered(made: Manifest, question: Question) -> Manifest:
    """Ask until the answer is right."""
    text, kind = question.text(made), None
    if question.choices:
        kind = click.Choice(question.choices, case_sensitive=False)
    while True:
        shown = bool(question.default)
        answer = click.prompt(
            text, type=kind, default=question.default, show_default=shown, prompt_suffix=":\n> ", err=True
        )
        with_it = question.put(made, str(answer).strip())
        try:
            manifest.checked(_whole(with_it))
        except errors.Mistake as wrong:
            screen.note(str(wrong))
        else:
            return with_it


def _whole(made: Manifest) -> Manifest:
    metadata = {"name": "x", **{name: said for name, said in made["metadata"].items() if said}}
    parts = {name: _beside(right, made["spec"].get(name, {})) for name, right in STAND_INS.items()}
    return {**made, "metadata": metadata, "spec": {**made["spec"], **parts}}


def _beside(right: dict[str, Any], said: Any) -> Any:
    """What is no mapping stays, and is told of."""
    return {**right, **said} if isinstance(said, dict) else said
