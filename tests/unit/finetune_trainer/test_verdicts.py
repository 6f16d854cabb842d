"""Who speaks for a gang whose ranks end differently, and what is said of those that died without a word."""

import itertools
import json

import pytest

from finetune_trainer import errors, verdict
from finetune_trainer.supervisor.judge import judge
from finetune_trainer.supervisor.watch import End
from finetune_trainer.verdict import Verdict

ORDER = [64, 65, 86, 70, 69, 75, 0]
"""Gravest first."""


def said(code: int, rank: int = 0) -> Verdict:
    return Verdict(rank=rank, exit_code=code, reason=f"Reason{code}", message="m")


@pytest.mark.parametrize(("graver", "lighter"), list(itertools.combinations(ORDER, 2)))
def test_the_graver_code_wins_on_whichever_rank(graver: int, lighter: int):
    assert verdict.gravest([said(graver, 0), said(lighter, 1)]).exit_code == graver
    assert verdict.gravest([said(lighter, 0), said(graver, 1)]).exit_code == graver


def test_64_and_77_weigh_the_same_and_the_lower_rank_speaks():
    assert verdict.gravest([said(77, 0), said(64, 1)]).exit_code == 77
    assert verdict.gravest([said(64, 0), said(77, 1)]).exit_code == 64


@pytest.mark.parametrize("code", [1, 2, 70, 134, 137, 139])
def test_any_unknown_code_is_other(code: int):
    assert verdict.gravest([said(code), said(69, 1)]).exit_code == code
    assert verdict.gravest([said(code), said(86, 1)]).exit_code == 86


def test_a_verdict_survives_its_file(tmp_path):
    told = verdict.of(errors.NonFiniteLoss("at step 3 - 안녕 \udcff"), rank=1)
    verdict.write(tmp_path / "verdicts", told)
    found = verdict.read(tmp_path / "verdicts", 1)
    assert (found.exit_code, found.reason, found.rank) == (64, "NonFiniteLoss", 1)
    assert found.message.startswith("at step 3 - 안녕")
    assert [path.name for path in (tmp_path / "verdicts").iterdir()] == ["rank-1.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"rank": 0}', b"\xff"])
def test_half_a_verdict_is_none(tmp_path, content: bytes):
    (tmp_path / "rank-0.json").write_bytes(content)
    assert verdict.read(tmp_path, 0) is None


def test_an_unknown_error_is_our_bug_and_says_so():
    told = verdict.of(ZeroDivisionError("division by zero"), rank=0)
    assert (told.exit_code, told.reason) == (70, "InternalError")
    assert "ZeroDivisionError: division by zero" in told.message
    assert json.dumps(told.wire())


def judged(
    end: End, *verdicts: Verdict | None, exits: dict[int, int] | None = None, memory_kills: int = 0
) -> Verdict:
    return judge(end, verdicts, stall_seconds=900, exits=exits or {}, memory_kills=memory_kills)


@pytest.mark.parametrize(
    ("end", "code", "reason"),
    [
        (End.ENDED, 70, "RankDied"),
        (End.STALLED, 70, "Stalled"),
        (End.INTERRUPTED, 75, "Interrupted"),
        (End.OVERDUE, 75, "Interrupted"),
    ],
)
def test_a_rank_without_a_word(end: End, code: int, reason: str):
    found = judged(end, None)
    assert (found.exit_code, found.reason) == (code, reason)


def test_a_rank_killed_for_memory_is_told_what_to_change():
    found = judged(End.ENDED, None, exits={17: 1}, memory_kills=1)
    assert found.exit_code == 70  # retried: the next one may have more luck, or another node
    assert "raise spec.resources.memory" in found.message


def test_a_dead_rank_weighs_more_than_its_peers_that_were_told_to_stop():
    assert judged(End.ENDED, said(75, 0), None).reason == "RankDied"


def test_a_rank_that_knows_why_weighs_more_than_a_dead_one():
    assert judged(End.ENDED, None, said(64, 1)).exit_code == 64


@pytest.mark.parametrize("known", [69, 70, 86])
def test_a_fault_that_a_rank_tells_is_not_hidden_by_one_that_was_silenced(known: int):
    assert judged(End.ENDED, None, said(known, 1)).reason == f"Reason{known}"
    assert judged(End.ENDED, said(known, 0), None).reason == f"Reason{known}"


LOST = verdict.of(errors.PeerLost("gone"), rank=0)


def test_who_only_saw_another_go_has_nothing_to_add():
    assert judged(End.ENDED, LOST, said(69, 1)).exit_code == 69
    died = judged(End.ENDED, LOST, None, exits={17: 137})
    assert (died.reason, died.rank) == ("RankDied", 1)
    assert (
        "training process 1 was killed, or crashed, and could not say why (exit codes seen: 137)"
        in died.message
    )
    assert judged(End.ENDED, LOST, LOST).reason == "PeerLost"
    assert judged(End.STALLED, LOST, None).reason == "Stalled"


def test_ranks_that_were_done_when_sigterm_came_are_done():
    assert judged(End.INTERRUPTED, said(0, 0), said(0, 1)).exit_code == 0


def test_a_word_spoken_before_the_kill_counts():
    assert judged(End.OVERDUE, said(75, 0)).reason == "Reason75"
