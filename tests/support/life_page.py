"""docs/life-of-a-job.md: the state machine's table, and a drawing of what it does. `python tests/support/life_page.py` writes it.

The rows are the table's own. The arrows are found by trying: each story below is played, decision by decision, and every change
of `status.state` becomes one.
"""

import pathlib

import kube_objects
from finetune_operator.errors.reasons import Reason
from finetune_operator.reconcile.table import TABLE, Outcome, Row
from finetune_operator.reconcile.world import CreateJob, CreateRun, CreateService, DeleteJob, ExpireChildren
from simulation import Simulation, prepared_job

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "life-of-a-job.md"
TEXT = pathlib.Path(__file__).with_name("life_page.md")
"""What a person wrote: {drawing} and {rules} are filled in."""
DOES = {
    CreateRun: "writes the run down",
    CreateService: "creates the Service of a job of several nodes",
    CreateJob: "creates the attempt's Job",
    DeleteJob: "deletes Jobs that must not run, or are no longer kept",
    ExpireChildren: "lets Kubernetes remove what is left after `ttlSecondsAfterFinished`",
}
ENDS = ("Succeeded", "Failed")


def _happy() -> Simulation:
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.step()
    sim.ends("train", 1, 0, kube_objects.published())
    sim.step()
    return sim


def _already_published() -> Simulation:
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, kube_objects.already_published())
    sim.step()
    return sim


def _queued() -> Simulation:
    sim = Simulation()
    for stage, word in (("prepare", kube_objects.prepared()), ("train", kube_objects.published())):
        sim.step()
        sim.job(stage, 1)["spec"]["suspend"] = True
        sim.step()
        sim.job(stage, 1)["spec"]["suspend"] = False
        sim.step()
        sim.runs(stage, 1, running=True)
        sim.step()
        if stage == "train":  # preempted, and let in again
            sim.job(stage, 1)["spec"]["suspend"] = True
            sim.step()
            sim.job(stage, 1)["spec"]["suspend"] = False
            sim.step()
        sim.ends(stage, 1, 0, word)
    sim.step()
    return sim


def _waits_and_is_refused() -> Simulation:
    sim = Simulation(profile="default")
    sim.step()
    sim.profiles["default"] = kube_objects.fine_tune_profile(allowed={"outputs": ["s3://elsewhere"]})
    sim.step()
    return sim


def _waits_and_goes_on() -> Simulation:
    sim = Simulation(profile="default")
    sim.step()
    sim.profiles["default"] = kube_objects.fine_tune_profile()
    sim.step()
    return sim


def _suspended(at: int) -> Simulation:
    """Suspended while Pending, Preparing, Starting, Running or between attempts, and let go on."""
    sim = Simulation(profile="default") if at == 0 else Simulation() if at == 1 else prepared_job()
    sim.step()
    if at > 2:
        sim.runs("train", 1, running=True)
        sim.step()
    if at > 3:
        sim.ends("train", 1, 1)
        sim.step()
    sim.raw["spec"]["runPolicy"] = {"suspend": True}
    sim.step()
    sim.step()
    sim.raw["spec"]["runPolicy"] = {"suspend": False}
    sim.passes(600)
    sim.step()
    return sim


def _interrupted() -> Simulation:
    sim = prepared_job()
    for attempt in (1, 2, 3):
        sim.runs("train", attempt, running=True)
        sim.step()
        sim.ends("train", attempt, 75)
        sim.step()
        sim.passes(600)
        sim.step()
    return sim


def _fails(at: str, code: int) -> Simulation:
    policy = {"maxAttempts": 1}
    sim = Simulation(runPolicy=policy) if at == "prepare" else prepared_job(runPolicy=policy)
    sim.step()
    sim.runs(at, 1, running=True)
    sim.step()
    sim.ends(at, 1, code)
    sim.step()
    return sim


def _overdue(*, queued: bool) -> Simulation:
    sim = prepared_job(runPolicy={"pendingDeadlineSeconds": 600})
    sim.job("train", 1)["spec"]["suspend"] = queued
    sim.step()
    sim.passes(700)
    sim.step()
    return sim


def stories() -> list[Simulation]:
    """All that is drawn, played."""
    return [
        _happy(),
        _already_published(),
        _queued(),
        _waits_and_is_refused(),
        _waits_and_goes_on(),
        *(_suspended(at) for at in range(5)),
        _interrupted(),
        *(_fails(stage, code) for stage in ("prepare", "train") for code in (64, 1)),
        _overdue(queued=True),
        _overdue(queued=False),
    ]


def drawing() -> str:
    """A Mermaid state diagram; what may happen to every job on its way is drawn once."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, rule, after in (edge for sim in stories() for edge in sim.edges):
        if before != after:
            names = arrows.setdefault((before, after), [])
            names += [rule] if rule not in names else []
    inside, shared = [], {}
    for (before, after), rules in sorted(arrows.items()):
        if after in {"Suspended", "Failed"} and before != "Suspended":
            shared.setdefault(after, []).extend(one for one in rules if one not in shared.get(after, []))
        else:
            inside.append((before, after, rules))
    lines = ["stateDiagram-v2", "  [*] --> Pending", "  state OnTheWay {"]
    lines += [_arrow("    ", *one) for one in inside if one[0] != "Suspended" and one[1] not in ENDS]
    lines += ["  }"]
    lines += [_arrow("  ", *one) for one in inside if one[0] == "Suspended" or one[1] in ENDS]
    lines += [_arrow("  ", "OnTheWay", after, rules) for after, rules in sorted(shared.items())]
    lines += [f"  {one} --> [*]" for one in ENDS]
    return "\n".join(["```mermaid", *lines, "```"])


def _arrow(indent: str, before: str, after: str, rules: list[str]) -> str:
    return f"{indent}{before} --> {after}: {', '.join(rules)}"


def rules() -> str:
    """The table, as Markdown: rules in their order, every outcome a row."""
    head = ["| | when | rule | `state` | reason of `Ready` | what is done |", "|---|---|---|---|---|---|"]
    return "\n".join([*head, *(line for at, row in enumerate(TABLE, 1) for line in _lines(at, row))])


def _lines(at: int, row: Row) -> list[str]:
    return [
        f"| {at if first == 0 else ''} | {one.when} | `{one.name}` | {_state(one)} | {_says(one)} | {_does(one)} |"
        for first, one in enumerate(row.outcomes)
    ]


def _state(one: Outcome) -> str:
    if not one.says:
        return "as it was"
    return f"`{one.state}`" if one.state else "as the stage says"


def _says(one: Outcome) -> str:
    return f"`{one.says}`" if isinstance(one.says, Reason) else one.says


def _does(one: Outcome) -> str:
    return "; ".join(DOES[action] for action in one.does)


def text() -> str:
    """The whole page."""
    page = TEXT.read_text(encoding="utf-8")
    return page.replace("{drawing}", drawing()).replace("{rules}", rules())


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
