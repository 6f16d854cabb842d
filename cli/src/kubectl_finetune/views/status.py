"""`kubectl finetune status`: all there is to know about one job, on one screen."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

from finetune_operator.api.status import Condition, Progress
from finetune_operator.errors.reasons import Reason
from kubectl_finetune.views import amounts, colours, curve, lines, next_step
from kubectl_finetune.views.job import Job

TRUTHS = {"True": colours.GOOD, "False": "dim", "Unknown": colours.WORKING}
BAR = 40
"""Characters of a full bar."""
BESIDE = 36
"""Columns for what stands beside it."""
LABEL = 9
"""Columns of `data:` and its like."""


class Detail(NamedTuple):
    """How much is told where room is short."""

    table: bool
    """Conditions in a table, or in a line."""
    advice: int | None
    """Pieces of advice; None: all."""
    curve: int
    """Lines of the curve."""


DETAILS = (
    Detail(table=True, advice=None, curve=4),
    Detail(table=False, advice=None, curve=4),
    Detail(table=False, advice=2, curve=4),
    Detail(table=False, advice=1, curve=4),
    Detail(table=False, advice=1, curve=2),
    Detail(table=False, advice=0, curve=0),
)
"""From all there is to what fits almost anywhere."""


def screen(
    job: Job,
    now: datetime,
    *,
    points: Sequence[curve.Point] = (),
    width: int = 80,
    height: int | None = None,
) -> Text:
    """The whole screen, in at most `height` lines as far as less detail makes it so; None: all there is."""
    for detail in DETAILS:
        drawn = list(_lines(job, now, points, width, detail))
        if height is None or sum(max(-(-len(line) // width), 1) for line in drawn) <= height:
            break
    return Text("\n").join(drawn)


def _lines(
    job: Job, now: datetime, points: Sequence[curve.Point], width: int, detail: Detail
) -> Iterator[Text]:
    yield from _title(job, now)
    yield from _conditions(job, now) if detail.table else _conditions_in_short(job, now, width)
    yield from _sentence(job, width)
    yield from _progress(job, width)
    if detail.curve:
        drawn = curve.drawn(points, width=min(width, 80), height=detail.curve)
        yield from (Text(line) for line in drawn)
    yield from _facts(job, width)
    yield from _advice(job, width, detail.advice)
    if step := next_step.step(job, now):
        yield Text("")
        yield from _said("next:", "bold", step, width)


def _said(label: str, style: str, sentence: str, width: int, *, indent: int = LABEL) -> Iterator[Text]:
    """`label` and a sentence beside it, in as many lines as it takes."""
    first, *more = lines.broken(f"{label:<{indent - 1}} {sentence}", width=width, indent=indent)
    yield Text.assemble((first[: len(label)], style), first[len(label) :])
    yield from map(Text, more)


def _title(job: Job, now: datetime) -> Iterator[Text]:
    spec, metadata = job.spec, job.raw["metadata"]
    tuning = (spec.get("tuning") or {}).get("type", "LoRA")
    old = amounts.age(metadata["creationTimestamp"], now)
    yield Text.assemble(
        (job.name, "bold"),
        "  ",
        (job.state, colours.of(job.state)),
        f"  {metadata.get('namespace', '')}, {old} old",
    )
    yield Text(f"{spec.get('method', 'SFT')} ({tuning}) of {(spec.get('model') or {}).get('uri')}", "dim")
    yield Text(f"to {(spec.get('output') or {}).get('uri')}", "dim")


def _known(job: Job) -> list[Condition]:
    """Conditions that say something: the others say as much as NotPublished does."""
    return [one for one in job.conditions if one.reason != Reason.NOT_PUBLISHED]


def _conditions(job: Job, now: datetime) -> Iterator[Text]:
    """A table, a line each."""
    rows = [
        (one.type, one.status, one.reason, amounts.age(one.last_transition_time, now)) for one in _known(job)
    ]
    head = ("CONDITION", "STATUS", "REASON", "SINCE")
    sizes = [max(map(len, column)) + 3 for column in zip(head, *rows, strict=True)]
    yield Text("".join(f"{name:<{size}}" for name, size in zip(head, sizes, strict=True)).rstrip(), "dim")
    for kind, truth, *others in rows:
        rest = "".join(f"{one:<{size}}" for one, size in zip(others, sizes[2:], strict=True)).rstrip()
        yield Text.assemble(f"{kind:<{sizes[0]}}", (f"{truth:<{sizes[1]}}", TRUTHS[truth]), rest)


def _conditions_in_short(job: Job, now: datetime, width: int) -> Iterator[Text]:
    """`Accepted True 6m, Prepared True 5m, ...`, in as few lines as it takes."""
    known = [f"`{one.type} {one.status} {amounts.age(one.last_transition_time, now)}`" for one in _known(job)]
    for line in lines.broken(", ".join(known), width=width):
        yield Text(line.replace("`", ""), "dim")


def _sentence(job: Job, width: int) -> Iterator[Text]:
    reason, message = job.says
    style = colours.BAD if job.settled and not job.succeeded else ""
    yield from _said(
        f"{reason}:", style, message, width, indent=len(reason) + 2 if len(reason) < LABEL else 2
    )


def bar(progress: Progress, width: int = 80) -> str:
    """`████████----  120/500  24%  4m10s left`; empty where nobody knows how many steps there are."""
    size = min(BAR, max(width - BESIDE, 4))
    if not progress.total_steps or progress.step is None:
        return ""
    share = min(progress.step / progress.total_steps, 1.0)
    full = int(share * size)
    left = f"  {amounts.duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
    drawn = "█" * full + "░" * (size - full)
    return f"{drawn}  {progress.step}/{progress.total_steps}  {int(share * 100)}%{left}"


def figures(progress: Progress) -> str:
    """`loss 2.31, held-out 2.44, 5120 tokens/s`."""
    known = (
        ("loss {}", progress.loss),
        ("held-out {}", progress.eval_loss),
        ("{} tokens/s", progress.tokens_per_second),
    )
    return ", ".join(form.format(amounts.number(value)) for form, value in known if value is not None)


def _progress(job: Job, width: int) -> Iterator[Text]:
    progress = job.status.progress
    if progress is None or job.succeeded:
        return
    if drawn := bar(progress, width):
        yield Text(drawn, style=colours.WORKING)
    if told := figures(progress):
        yield Text(told)
    for warning in progress.warnings or []:
        yield from _said("warning:", colours.WAITING, warning, width)


def _facts(job: Job, width: int) -> Iterator[Text]:
    """Data, estimate, result and cost; what is not known is left out."""
    for label, told in (
        ("data:", _data(job)),
        ("needs:", _needs(job)),
        ("result:", _result(job)),
        ("used:", _used(job)),
    ):
        if told:
            yield from _said(label, "", told, width)


def _advice(job: Job, width: int, most: int | None) -> Iterator[Text]:
    """At most so many pieces of it, and where the others are."""
    known = (job.status.dataset.advice if job.status.dataset else None) or []
    shown = known[:most]
    for advice in shown:
        yield from _said("advice:", colours.WAITING, advice, width)
    if left := len(known) - len(shown):
        more = f"{left} more" if shown else f"{left}"
        yield from _said("advice:", colours.WAITING, f"{more}, {next_step.whole(job)}", width)


def _data(job: Job) -> str:
    seen = job.status.dataset
    if seen is None or seen.rows is None:
        return ""
    dropped = sum((seen.dropped or {}).values())
    left_out = f", {dropped} left out" if dropped else ""
    cut = f", {seen.truncated} cut" if seen.truncated else ""
    return f"{seen.rows} rows of {seen.format or 'data'}, {seen.eval_rows or 0} held out{left_out}{cut}"


def _needs(job: Job) -> str:
    seen = job.status.estimate
    if seen is None or job.settled:
        return ""
    memory = seen.gpu_memory_bytes or seen.memory_bytes
    known = (
        f"{amounts.memory(memory)} of {'GPU ' if seen.gpu_memory_bytes else ''}memory" if memory else "",
        amounts.duration(seen.duration_seconds) if seen.duration_seconds else "",
        f"{seen.cost:.2f} {seen.currency or ''}".strip() if seen.cost is not None else "",
    )
    return ", ".join(one for one in known if one)


def _result(job: Job) -> str:
    seen = job.status.evaluation
    parts = []
    if seen and seen.base and seen.tuned and seen.base.loss is not None and seen.tuned.loss is not None:
        change = f"held-out loss {amounts.number(seen.base.loss)} -> {amounts.number(seen.tuned.loss)}"
        parts.append(change + _perplexity(seen.base.perplexity, seen.tuned.perplexity))
    if adapter := job.status.adapter:
        parts.append(f"{amounts.size(adapter.size_bytes)} published" if adapter.size_bytes else "published")
    return ", ".join(parts)


def _perplexity(base: float | None, tuned: float | None) -> str:
    if base is None or tuned is None:
        return ""
    return f", perplexity {amounts.number(base)} -> {amounts.number(tuned)}"


def _used(job: Job) -> str:
    seen = job.status.usage
    if seen is None:
        return ""
    known = (
        f"{amounts.duration(seen.gpu_seconds)} of GPU" if seen.gpu_seconds else "",
        f"{amounts.duration(seen.seconds)} in training" if seen.seconds else "",
        f"{seen.cost:.2f} {seen.currency or ''}".strip() if seen.cost is not None else "",
    )
    return ", ".join(one for one in known if one)
