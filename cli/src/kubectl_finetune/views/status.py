"""`kubectl finetune status`: all there is to know about one job, on one screen."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from finetune_operator.api.status import Progress
from finetune_operator.errors.reasons import Reason
from kubectl_finetune.views import amounts, colours, curve, next_step
from kubectl_finetune.views.job import Job

TRUTHS = {"True": colours.GOOD, "False": "dim", "Unknown": colours.WORKING}
BAR = 40
"""Characters of a full bar."""


def screen(job: Job, now: datetime, *, points: Sequence[curve.Point] = (), width: int = 80) -> Group:
    """The whole screen, as a rule 24 lines."""
    parts: list[RenderableType] = [
        _title(job, now),
        _conditions(job, now),
        _sentence(job),
        *_progress(job),
        *(Text(line) for line in curve.drawn(points, width=min(width, 80))),
        *_facts(job),
        Text(""),
        Text.assemble(("next: ", "bold"), next_step.step(job, now)),
    ]
    return Group(*parts)


def _title(job: Job, now: datetime) -> Text:
    spec, metadata = job.spec, job.raw["metadata"]
    tuning = (spec.get("tuning") or {}).get("type", "LoRA")
    made = Text()
    made.append(job.name, "bold")
    made.append("  ")
    made.append(job.state, colours.of(job.state))
    made.append(f"  {metadata.get('namespace', '')}, {amounts.age(metadata['creationTimestamp'], now)} old\n")
    made.append(f"{spec.get('method', 'SFT')} ({tuning}) of {(spec.get('model') or {}).get('uri')}\n", "dim")
    made.append(f"to {(spec.get('output') or {}).get('uri')}", "dim")
    return made


def _conditions(job: Job, now: datetime) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("CONDITION", "STATUS", "REASON", "SINCE"):
        made.add_column(name, no_wrap=True)
    for one in job.conditions:
        if one.reason == Reason.NOT_PUBLISHED:
            continue  # the others say as much
        truth = Text(one.status, style=TRUTHS[one.status])
        made.add_row(one.type, truth, one.reason, amounts.age(one.last_transition_time, now))
    return made


def _sentence(job: Job) -> Text:
    reason, message = job.says
    style = colours.BAD if job.settled and not job.succeeded else ""
    return Text.assemble((f"{reason}: ", style), message)


def bar(progress: Progress) -> str:
    """`████████----  120/500  24%  4m10s left`; empty where nobody knows how many steps there are."""
    if not progress.total_steps or progress.step is None:
        return ""
    share = min(progress.step / progress.total_steps, 1.0)
    full = int(share * BAR)
    left = f"  {amounts.duration(progress.eta_seconds)} left" if progress.eta_seconds else ""
    drawn = "█" * full + "░" * (BAR - full)
    return f"{drawn}  {progress.step}/{progress.total_steps}  {int(share * 100)}%{left}"


def figures(progress: Progress) -> str:
    """`loss 2.31, held-out 2.44, 5120 tokens/s`."""
    known = (
        ("loss {}", progress.loss),
        ("held-out {}", progress.eval_loss),
        ("{} tokens/s", progress.tokens_per_second),
    )
    return ", ".join(form.format(amounts.number(value)) for form, value in known if value is not None)


def _progress(job: Job) -> Iterator[Text]:
    progress = job.status.progress
    if progress is None or job.succeeded:
        return
    if drawn := bar(progress):
        yield Text(drawn, style=colours.WORKING)
    if told := figures(progress):
        yield Text(told)
    for warning in progress.warnings or []:
        yield Text(f"warning: {warning}", style=colours.WAITING)


def _facts(job: Job) -> Iterator[Text]:
    """Data, estimate, result and cost; what is not known is left out."""
    for label, told in (
        ("data", _data(job)),
        ("needs", _needs(job)),
        ("result", _result(job)),
        ("used", _used(job)),
    ):
        if told:
            yield Text(f"{label + ':':<8} {told}")
    for advice in (job.status.dataset.advice if job.status.dataset else None) or []:
        yield Text.assemble(("advice:  ", colours.WAITING), advice)


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
        f"{amounts.size(memory)} of {'GPU ' if seen.gpu_memory_bytes else ''}memory" if memory else "",
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
