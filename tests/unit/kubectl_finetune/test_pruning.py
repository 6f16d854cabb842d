import json
import os
import time

import pytest

import terminal

DAY = 86400
OLD = 30 * DAY


def area(folder, uid, *, age=OLD, below="adapters/bot"):
    """Two files of a job's work area, and the result beside it."""
    root = folder / below
    for name in (f".finetune/{uid}/checkpoints/step-10/weights", f".finetune/{uid}/outcome.json", "adapter"):
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x" * 1000)
        os.utime(file, (time.time() - age,) * 2)
    return root / ".finetune" / uid


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "bucket"
    folder.mkdir()
    return folder


async def test_what_jobs_that_are_gone_have_left_is_listed_and_stays(place, server, shell):
    terminal.job(server)
    gone, alive = area(place, "uid-gone"), area(place, "uid-support-bot")

    done = await shell.run("prune", f"file://{place}")

    assert done.exit_code == 0, done.output
    assert done.stdout.split() == ["2.0", "KB", "30d", f"file://{gone}"]
    assert "2.0 KB can be removed; add --yes to do it" in done.stderr
    assert gone.exists()
    assert alive.exists()


async def test_with_yes_it_is_removed_and_nothing_else(place, server, shell):
    terminal.job(server)
    gone, alive = area(place, "uid-gone"), area(place, "uid-support-bot")
    deep, fresh = area(place, "uid-deep", below="a/b/c"), area(place, "uid-fresh", age=DAY)

    done = await shell.run("prune", f"file://{place}", "--yes", "-o", "json")

    found = json.loads(done.stdout)
    assert {one["uid"] for one in found["items"]} == {"uid-gone", "uid-deep"}
    assert found["removed"]
    for removed in (gone, deep):
        assert not [file for file in removed.rglob("*") if file.is_file()]
        assert (removed.parent.parent / "adapter").exists()
    assert (alive / "outcome.json").exists()
    assert (fresh / "outcome.json").exists()


async def test_what_is_young_goes_where_that_is_asked_for(place, shell):
    area(place, "uid-fresh", age=DAY)

    assert "nothing to remove: no work area below" in (await shell.run("prune", f"file://{place}")).stderr
    assert "uid-fresh" in (await shell.run("prune", f"file://{place}", "--older-than", "12h")).stdout


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["file:///nowhere", "--older-than", "soon"], 2, "'soon' is not an age; write 7d or 12h"),
        (["pvc://claim/x"], 64, "lies on a PersistentVolumeClaim, which only pods can read"),
        (["file:///nowhere/at/all"], 66, "there is no folder file:///nowhere/at/all; correct the path"),
    ],
)
async def test_what_cannot_be_is_told(shell, words, code, told):
    done = await shell.run("prune", *words)

    assert done.exit_code == code, done.output
    assert told in done.stderr
