"""What the end of one pod means: the exit codes and last words of docs/contract.md as a table."""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from finetune_operator.errors.reasons import Reason
from finetune_operator.names import CALLED
from finetune_operator.observe import words
from finetune_operator.observe.pod import PodSeen
from finetune_operator.observe.words import LastWord
from finetune_operator.status import results

Outcome = Literal["Running", "Succeeded", "Failed", "Interrupted", "Waiting"]

FINAL = {
    64: (
        Reason.INPUT_REFUSED,
        "the trainer refused the spec or the data (exit code 64), and its reason is lost; see `kubectl finetune logs`",
    ),
    65: (
        Reason.GATE_NOT_MET,
        "the evaluation gate was not met (exit code 65), so nothing was published; `kubectl finetune logs` shows the figures",
    ),
    77: (
        Reason.ACCESS_DENIED,
        "access was denied (exit code 77); check the keys in the Secrets, and what they may read and write",
    ),
    86: (
        Reason.GPU_OUT_OF_MEMORY,
        "the GPU has too little memory (exit code 86); lower spec.training.maxLength, or use a smaller model or a larger GPU",
    ),
}
WAITING, INTERRUPTED = 69, 75
OVERFLOW = re.compile(r'EmptyDir volume "[^"]*" exceeds the limit|ephemeral local storage usage exceeds')
"""What a kubelet says of a pod that it evicts for the pod's own fault; the disk of a node that runs full is none of it."""


class Ended(NamedTuple):
    """A pod that has ended."""

    pod: PodSeen
    word: LastWord | None
    name: str


class Ending(NamedTuple):
    """What an end means."""

    outcome: Outcome
    reason: str
    message: str
    final: bool = False


def _good(ended: Ended) -> bool:
    """Exit 0, and a last word of this stage with a result in it."""
    if ended.pod.exit_code != 0 or ended.word is None or ended.word.stage != ended.pod.stage:
        return False
    if results.published(ended.word, name=ended.name):
        return True
    return (
        ended.pod.stage == "Prepare"
        and ended.word.reason == "Prepared"
        and results.prepared(ended.word) is not None
    )


def _said(ended: Ended, outcome: Outcome, reason: str, message: str, *, final: bool = False) -> Ending:
    """The trainer's own words where it left some, ours otherwise."""
    word = ended.word
    return Ending(outcome, word.reason if word else reason, (word.message if word else "") or message, final)


def _final(ended: Ended) -> Ending:
    reason, message = FINAL[ended.pod.exit_code or 0]
    return _said(ended, "Failed", reason, message, final=True)


def _memory(ended: Ended) -> Ending:
    field = "spec.resources.memory" if ended.pod.stage == "Train" else "spec.resources.prepare.memory"
    return Ending(
        "Failed",
        Reason.MEMORY_KILLED,
        f"the {CALLED[ended.pod.stage]} pod was killed because it needed more memory than it has; raise {field} and apply "
        "the job under a new name",
        final=True,
    )


def _scratch(ended: Ended) -> Ending:
    message = f"the pod filled its scratch disk ({ended.pod.said}); raise spec.resources.scratch and apply the job under a new name"
    return Ending("Failed", Reason.SCRATCH_EXCEEDED, message, final=True)


def _gone(ended: Ended) -> Ending:
    word = ": ".join(one for one in (ended.pod.disruption or "deleted", ended.pod.said) if one)
    reason = Reason.EVICTED if ended.pod.disruption else Reason.POD_LOST
    return Ending("Interrupted", reason, f"the pod {ended.pod.name} was taken away ({word})")


ENDINGS: tuple[tuple[Callable[[Ended], bool], Callable[[Ended], Ending]], ...] = (
    (_good, lambda e: _said(e, "Succeeded", "", "")),
    (
        lambda e: e.pod.exit_code == 0,
        lambda _: Ending(
            "Failed",
            Reason.NO_LAST_WORD,
            "the trainer ended with exit code 0 but left no result that can be read, so it is not taken for a success",
        ),
    ),
    (lambda e: e.pod.exit_code in FINAL, _final),
    (lambda e: bool(OVERFLOW.search(e.pod.said)), _scratch),
    (
        lambda e: e.pod.exit_code == WAITING,
        lambda e: _said(
            e,
            "Waiting",
            Reason.NOT_THERE_YET,
            "something that the pod needs is not there yet (exit code 69); see `kubectl finetune logs`",
        ),
    ),
    (
        lambda e: e.pod.exit_code == INTERRUPTED,
        lambda e: _said(e, "Interrupted", Reason.INTERRUPTED, "stopped from outside (exit code 75)"),
    ),
    (lambda e: bool(e.pod.disruption), _gone),
    (lambda e: e.pod.killed_for_memory, _memory),
    (lambda e: e.pod.deleting or e.pod.exit_code is None, _gone),
    (
        lambda _: True,
        lambda e: _said(
            e,
            "Failed",
            Reason.TRAINER_FAILED,
            f"the trainer ended with exit code {e.pod.exit_code}; see the log of the pod {e.pod.name} with `kubectl finetune logs`",
        ),
    ),
)
"""First match wins."""


def ending(pod: PodSeen, *, name: str) -> Ending:
    """What the end of a pod means."""
    ended = Ended(pod, words.last_word(pod.last_word), name)
    return next(meaning(ended) for holds, meaning in ENDINGS if holds(ended))


AUTHORS, GATE, MEMORY = frozenset({64, 77}), 65, 86
CONSEQUENCE = "PeerLost"
"""The trainer's word for an end that another pod of its gang caused."""


def gravity(pod: PodSeen, end: Ending) -> tuple[int, int]:
    """Which end speaks for a gang: the smallest, by the precedence of docs/contract.md; a cause before its consequences."""
    if end.outcome == "Succeeded":
        place = 0
    elif end.final and pod.exit_code in AUTHORS:
        place = 1
    elif end.final and pod.exit_code == GATE:
        place = 2
    elif end.final and pod.exit_code == MEMORY:
        place = 3
    else:
        place = {"Failed": 4, "Waiting": 5}.get(end.outcome, 6)
    return place, int(end.reason == CONSEQUENCE)
