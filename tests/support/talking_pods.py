"""What stands for a pod that a result is talked with in, and for the kubectl that leads there."""

import os
from pathlib import Path

import kube_objects
import terminal
from finetune_operator.names import Owner
from finetune_operator.observe import job as observed
from finetune_operator.plan import accept, config_map
from finetune_trainer.talking.answer import Answer

OWNER = Owner("team-a", "support-bot", "uid-support-bot")
RUNNING = {"phase": "Running", "containerStatuses": [{"name": "trainer", "state": {"running": {}}}]}


def put_job(server, **spec):
    """A job that has published, with the ConfigMap that its operator made."""
    server.put("configmaps", config_map.config_map(OWNER, planned(**spec)))
    return terminal.job(server, status=terminal.PUBLISHED, **spec)


def planned(**spec):
    """What its operator has decided."""
    seen = observed.job(kube_objects.fine_tune_job(uid=OWNER.uid, **spec))
    return accept.accept(seen, {}, accept.Installed(trainer_image="registry/trainer:1"))


def becoming(server, status):
    """From now on each new pod gets `status` at once, as from a kubelet. The pods that were made, as they come."""
    made = []

    def listener(plural, event, one):
        if plural == "pods" and event == "ADDED":
            made.append(one)
            server.change("pods", one["metadata"]["name"], lambda pod: pod.update(status=status))

    server.listeners.append(listener)
    return made


def kubectl(folder: Path, said: str) -> str:
    """PATH with a kubectl that says `said` and stays, as port-forward does; it leaves its arguments in `words`."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "kubectl"
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/words\necho "{said}"\nexec sleep 60\n')
    program.chmod(0o755)
    return f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"


def parrot(messages, side, _, hear):
    """A model that says who was asked what."""
    text = f"{side} of {messages[-1]['content']}"
    hear(text)
    return Answer(text, prompt_tokens=1, tokens=1, ended=True)
