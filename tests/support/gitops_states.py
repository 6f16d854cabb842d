"""FineTuneJobs in every state, as the operator's own decisions leave them: what GitOps tools are asked about.

They lie beside our health.lua, in the form that Argo CD's own tests read. `python tests/support/gitops_states.py` writes them, and
the patch that brings the script into Argo CD's settings.
"""

import pathlib
import textwrap
from collections.abc import Callable
from typing import Any

import yaml

import kube_objects
from simulation import Simulation, prepared_job

ARGO = pathlib.Path(__file__).resolve().parents[2] / "gitops" / "argocd" / "finetune.dev_FineTuneJob"
FOLDER = ARGO / "testdata"
PATCH = ARGO.parent / "argocd-cm.yaml"


def _unseen() -> Simulation:
    """As the API server stores it: nobody has looked at it yet."""
    return Simulation()


def _pending() -> Simulation:
    sim = Simulation(profile="team-a")
    sim.step()
    return sim


def _preparing() -> Simulation:
    sim = Simulation()
    sim.step()
    sim.runs("prepare", 1, running=True)
    sim.rest()
    return sim


def _queued() -> Simulation:
    sim = prepared_job(scheduling={"queueName": "gpus"})
    sim.job("train", 1)["spec"]["suspend"] = True
    sim.rest()
    return sim


def _starting() -> Simulation:
    sim = prepared_job()
    sim.rest()
    return sim


def _image_pull_failed() -> Simulation:
    sim = prepared_job()
    sim.runs("train", 1, waiting=("ErrImagePull", "registry/finetune-trainer:1: not found"), started=None)
    sim.passes(60)
    sim.rest()
    return sim


def _running() -> Simulation:
    sim = prepared_job()
    sim.runs("train", 1, running=True)
    sim.rest()
    return sim


def _retrying() -> Simulation:
    sim = _running()
    sim.ends("train", 1, 1)
    sim.rest()
    return sim


def _interrupted() -> Simulation:
    sim = _running()
    sim.ends("train", 1, 75, kube_objects.saved(200, "2026-11-22T10:20:00Z"))
    sim.rest()
    return sim


def _suspended() -> Simulation:
    sim = _running()
    sim.raw["spec"]["runPolicy"] = {"suspend": True}
    sim.raw["metadata"]["generation"] = 2
    sim.rest()
    return sim


def _resume_unseen() -> Simulation:
    """Suspended, and just let go on: the operator has not looked yet."""
    sim = _suspended()
    sim.raw["spec"]["runPolicy"] = {"suspend": False}
    sim.raw["metadata"]["generation"] = 3
    return sim


def _resumed() -> Simulation:
    sim = _resume_unseen()
    sim.rest()
    return sim


def _published() -> Simulation:
    sim = _running()
    sim.ends("train", 1, 0, kube_objects.published())
    sim.rest()
    return sim


def _already_published() -> Simulation:
    sim = Simulation()
    sim.step()
    sim.ends("prepare", 1, 0, kube_objects.already_published())
    sim.rest()
    return sim


def _published_then_edited() -> Simulation:
    """Its time to live was changed after it had ended, and the operator has seen that."""
    sim = _published()
    sim.raw["spec"]["runPolicy"] = {"ttlSecondsAfterFinished": 600}
    sim.raw["metadata"]["generation"] = 2
    sim.rest()
    return sim


def _refused() -> Simulation:
    sim = Simulation(profile="team-a")
    sim.profiles["team-a"] = kube_objects.fine_tune_profile("team-a", allowed={"outputs": ["s3://elsewhere"]})
    sim.rest()
    return sim


def _bad_data() -> Simulation:
    sim = Simulation()
    sim.step()
    message = "s3://team-a/tickets.jsonl, line 17: no turn of the assistant; nothing could be learned from it"
    sim.ends("prepare", 1, 64, kube_objects.word("Prepare", "NoAssistantTurn", message))
    sim.rest()
    return sim


def _gate_not_met() -> Simulation:
    sim = _running()
    sim.ends("train", 1, 65, kube_objects.word("Train", "GateNotMet", "tuned.loss <= 1.5: it is 1.9"))
    sim.rest()
    return sim


def _no_attempt_left() -> Simulation:
    sim = prepared_job(runPolicy={"maxAttempts": 1})
    sim.runs("train", 1, running=True)
    sim.step()
    sim.ends("train", 1, 1)
    sim.rest()
    return sim


STATES: dict[str, Callable[[], Simulation]] = {
    "unseen": _unseen,
    "pending": _pending,
    "preparing": _preparing,
    "queued": _queued,
    "starting": _starting,
    "image-pull-failed": _image_pull_failed,
    "running": _running,
    "retrying": _retrying,
    "interrupted": _interrupted,
    "suspended": _suspended,
    "resume-unseen": _resume_unseen,
    "resumed": _resumed,
    "published": _published,
    "already-published": _already_published,
    "published-then-edited": _published_then_edited,
    "refused": _refused,
    "bad-data": _bad_data,
    "gate-not-met": _gate_not_met,
    "no-attempt-left": _no_attempt_left,
}


def played(name: str) -> str:
    """The object of that name, as YAML."""
    return yaml.safe_dump(STATES[name]().raw, sort_keys=False, width=110)


def recorded() -> dict[str, dict[str, Any]]:
    """All objects, as they lie in the folder."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}


def patch() -> str:
    """A strategic merge patch of the ConfigMap `argocd-cm` that holds health.lua."""
    script = textwrap.indent((ARGO / "health.lua").read_text(), "    ", lambda line: line.strip() != "")
    return f"data:\n  resource.customizations.health.{ARGO.name}: |\n{script}"


def main() -> None:
    """Write them."""
    PATCH.write_text(patch())
    for path in FOLDER.glob("*.yaml"):
        path.unlink()
    for name in STATES:
        (FOLDER / f"{name}.yaml").write_text(played(name))


if __name__ == "__main__":
    main()
