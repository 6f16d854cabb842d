"""Chats in the form of OpenAI's fine-tuning files, about the status codes of HTTP: what `http.HTTPStatus` of Python knows of them.

    python examples/from-openai/make_data.py FOLDER        writes training.jsonl and validation.jsonl

In every second chat a first, careless answer has `weight` 0: the model sees it and does not learn it. The codes of the
validation file do not occur in the other one.
"""

import json
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

Row = dict[str, list[dict[str, Any]]]

SYSTEM = "You are the help desk of a web host. Name the status code, say what it means, and stay calm."
KINDS = {
    1: "The server is not done yet",
    2: "All is well",
    3: "Look elsewhere",
    4: "The request is at fault",
    5: "The server is at fault",
}
VALIDATION = 5
"""Every fifth code is held out."""


def training_and_validation() -> tuple[list[Row], list[Row]]:
    """Two chats of each status code."""
    held_out = [*HTTPStatus][::VALIDATION]
    learned = [status for status in HTTPStatus if status not in held_out]
    return _chats(learned), _chats(held_out)


def _chats(codes: list[HTTPStatus]) -> list[Row]:
    return [chat for status in codes for chat in (_asked(status), _asked_again(status))]


def _asked(status: HTTPStatus) -> Row:
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"My browser says {status.value}. What does that mean?"},
            {"role": "assistant", "content": _answer(status)},
        ]
    }


def _asked_again(status: HTTPStatus) -> Row:
    return {
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"Our log is full of {status.value}."},
            {"role": "assistant", "content": "Then read the log.", "weight": 0},
            {"role": "user", "content": "I did. What is it about?"},
            {"role": "assistant", "content": _answer(status), "weight": 1},
        ]
    }


def _answer(status: HTTPStatus) -> str:
    meaning = f" {status.description}." if status.description else ""
    return f"{status.value} is {status.phrase}.{meaning} {KINDS[status.value // 100]}."


def main(folder: str) -> None:
    """Write both files and say what is in them."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    training, validation = training_and_validation()
    for name, rows in (("training.jsonl", training), ("validation.jsonl", validation)):
        file = Path(folder) / name
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        print(f"{file}: {len(rows)} rows")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
