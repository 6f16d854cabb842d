"""What a person sees who sits at a terminal of 80 x 24, and what a pipe gets instead."""

import asyncio
import os
import subprocess
import sys

import pytest

import pseudo_terminal
import terminal

pytestmark = pytest.mark.slow
UP = "\x1b[1A"
"""Moves the cursor up: what was drawn is drawn anew."""


async def test_watch_draws_anew_and_ends_by_itself(server, shell):
    terminal.job(server)
    seated = pseudo_terminal.Seated(shell, "watch", "support-bot")
    await seated.shows("120/500")
    server.change(
        "finetunejobs", "support-bot", lambda job: job["status"]["progress"].update(text="121/500", step=121)
    )
    await seated.shows("121/500")

    server.change("finetunejobs", "support-bot", lambda job: job.update(status=terminal.PUBLISHED))

    assert await seated.ends() == 0
    assert UP in seated.wrote
    assert "Succeeded" in seated.text.rpartition("121/500")[2]
    assert seated.is_as_before
    assert max(map(len, seated.text.splitlines())) <= pseudo_terminal.COLUMNS


async def test_a_job_that_fails_while_it_is_watched_is_told_below_the_screen(server, shell):
    terminal.job(server)
    seated = pseudo_terminal.Seated(shell, "watch", "support-bot")
    await seated.shows("120/500")

    server.change("finetunejobs", "support-bot", lambda job: job.update(status=terminal.FAILED))

    assert await seated.ends() == 1
    *above, last = seated.text.splitlines()
    assert last == "error: support-bot has failed: NonFiniteLoss"
    assert "NonFiniteLoss: the loss became nan at step 12; lower spec.training.learningRate" in above


async def test_ctrl_c_ends_the_watching_and_not_the_job(server, shell):
    terminal.job(server)
    seated = pseudo_terminal.Seated(shell, "watch", "support-bot")
    await seated.shows("120/500")

    seated.press(pseudo_terminal.CTRL_C)

    assert await seated.ends() == 130
    assert seated.text.endswith(
        "error: stopped watching; support-bot itself goes on\n       (`kubectl finetune suspend support-bot` suspends it)\n"
    )
    assert seated.is_as_before
    assert server.writes(agent="kubectl-finetune") == {}


async def test_a_pipe_gets_lines_and_no_colours(server, shell):
    terminal.job(server, status=terminal.PUBLISHED)
    words = [
        sys.executable,
        "-m",
        "kubectl_finetune",
        "watch",
        "support-bot",
        "--kubeconfig",
        str(shell.kubeconfig),
    ]
    environment = {**os.environ, "PYTHONPATH": str(terminal.ROOT / "cli" / "src"), "TERM": "xterm-256color"}

    piped = await asyncio.to_thread(
        subprocess.run, words, env=environment, capture_output=True, text=True, check=False
    )
    seated = pseudo_terminal.Seated(shell, "status", "support-bot")

    assert (piped.returncode, piped.stdout) == (0, "Succeeded  Published: the adapter is published\n")
    assert await seated.ends() == 0
    assert "\x1b[3" in seated.wrote, "colours at the terminal"


async def test_a_terminal_that_cannot_draw_gets_lines(server, shell, monkeypatch):
    terminal.job(server, status=terminal.PUBLISHED)
    seated = pseudo_terminal.Seated(shell, "watch", "support-bot", TERM="dumb")

    assert await seated.ends() == 0
    assert seated.text == "Succeeded  Published: the adapter is published\n"


async def test_a_terminal_of_few_letters_gets_what_it_can_show(server, shell):
    terminal.job(server)
    seated = pseudo_terminal.Seated(shell, "status", "support-bot", PYTHONIOENCODING="ascii")

    assert await seated.ends() == 0
    assert "?????" in seated.text, "the bar"


async def test_answers_stand_side_by_side(server, shell, job, talking_pod):
    seated = pseudo_terminal.Seated(shell, "chat", "support-bot")
    await seated.shows("you>")
    seated.press("Which number comes after three, and which one after that?\n")
    await seated.shows("tuned of Which number")
    await seated.shows("you>", times=2)
    seated.press("/exit\n")

    assert await seated.ends() == 0
    lines = [line for line in seated.text.splitlines() if "of Which number" in line]
    assert max(map(len, seated.text.splitlines())) <= pseudo_terminal.COLUMNS
    assert lines[-1].startswith("base of Which number comes after")
    assert lines[-1].index("tuned of Which number") >= pseudo_terminal.COLUMNS // 2
    assert server.all("pods") == []
