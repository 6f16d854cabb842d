import json

import pytest

from finetune_trainer import report
from finetune_trainer.report import LastWord


def word(message: str, result: dict | None = None) -> LastWord:
    return LastWord(stage="Prepare", reason="Prepared", message=message, result=result)


def decoded(raw: bytes) -> dict:
    assert len(raw) <= report.MAX_LAST_WORD_BYTES
    return json.loads(raw)


def test_a_short_word_is_written_whole(tmp_path):
    report.write_last_word(tmp_path / "log", word("done", {"dataset": {"rows": 3}}))

    assert decoded((tmp_path / "log").read_bytes()) == {
        "version": 1,
        "stage": "Prepare",
        "reason": "Prepared",
        "message": "done",
        "result": {"dataset": {"rows": 3}},
    }


def test_the_word_is_written_into_the_file_itself_as_a_mount_wants_it(tmp_path):
    path = tmp_path / "log"
    path.write_text("x" * 9000)
    before = path.stat().st_ino

    report.write_last_word(path, word("done"))

    assert path.stat().st_ino == before
    assert decoded(path.read_bytes())["message"] == "done"


@pytest.mark.parametrize(
    "text", ["a" * 9000, "é" * 9000, "\u0000" * 9000, '"' * 9000, "𝄞" * 9000, "\n \t" * 9000]
)
def test_a_long_message_is_cut_first_and_results_stay(text):
    result = {"dataset": {"digest": "sha256:0", "advice": ["one"]}}

    document = decoded(report.encode_last_word(word(f"begin {text}", result)))

    assert document["result"] == result
    assert document["message"].startswith("begin")


def test_optional_results_go_before_the_digest_does():
    result = {
        "dataset": {"digest": "sha256:0", "advice": ["é" * 1000] * 8},
        "resolved": {"targetModules": ["x" * 100] * 32},
    }

    document = decoded(report.encode_last_word(word("m" * 300, result)))

    assert document["message"] == "m" * 300
    assert document["result"]["dataset"] == {"digest": "sha256:0"}


def test_a_result_that_cannot_fit_at_all_still_leaves_a_word():
    document = decoded(report.encode_last_word(word("m" * 5000, {"adapter": {"uri": "u" * 9000}})))

    assert "result" not in document
    assert len(document["message"]) > 3900


@pytest.mark.parametrize(
    "odd", ["\udc80", "\ud800x", "\x00", "\u2028", float("nan"), float("inf"), b"raw", {1: 2}]
)
def test_odd_values_never_fail(odd):
    document = decoded(report.encode_last_word(word(f"{odd}", {"odd": odd, "list": [odd]})))

    assert document["reason"] == "Prepared"


def test_numbers_that_json_lacks_become_null():
    document = decoded(report.encode_last_word(word("m", {"loss": float("nan"), "ok": 1.5})))

    assert document["result"] == {"loss": None, "ok": 1.5}
