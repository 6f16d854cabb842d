"""All rows read once: by one process or by several, in chunks of any size, always with the same result."""

import functools
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trainer_world
from finetune_trainer import errors, interruption, prepare
from finetune_trainer.data import cpus, gathering
from finetune_trainer.data.sources import Fetched
from finetune_trainer.report import ProgressWriter
from trainer_world import TALK, World

pytestmark = pytest.mark.slow  # worker processes


def turns(asked: str, answered: str) -> dict:
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]}


@pytest.fixture
def world(tmp_path) -> World:
    return World.at(tmp_path)


def put_everything(world: World) -> dict:
    """Every kind of file, copies, blank lines, rows to drop, one of another script; the `dataset` that names them."""
    lines = [json.dumps(row, ensure_ascii=False) for row in TALK]
    lines[3:3] = ["", "  "]
    lines += [lines[0], json.dumps(turns("서울은 어디에 있나요? 🙂", "한국에 있습니다.\u2028\x85 끝")), ""]
    more = "\n".join(json.dumps(turns(f"How many {n}?", "many " * n)) for n in range(1, 60)) + "\n"
    table = pa.Table.from_pylist([turns(f"Row {n}", f"of a table {n}") for n in range(30)])
    file = io.BytesIO()
    pq.write_table(table, file)
    uris = [
        world.put("talk.jsonl", "\r\n".join(lines)),
        world.put("more.jsonl.gz", gzip.compress(more.encode())),
        world.put("array.json", json.dumps([turns(f"In an array {n}", str(n)) for n in range(20)])),
        world.put("table.parquet", file.getvalue()),
        world.put("few.jsonl", [turns(f"Only some {n}", str(n)) for n in range(20)]),
    ]
    csv = "prompt,completion\n" + "".join(f'"How\nis {n}?",fine {n}\n' for n in range(25))
    sources = [{"uri": uri} for uri in uris]
    sources[4]["maxSamples"] = 7
    held = world.put("held.jsonl", [TALK[5], turns("Never seen", "at all")])
    return {"train": [*sources, {"uri": world.put("pairs.csv", csv)}], "eval": [{"uri": held}]}


def prepared(world: World, run, monkeypatch, *, helpers: int, size: int) -> dict:
    """Prepare with so many workers, and chunks of so many bytes; the result, and the tables as they were written."""
    monkeypatch.setattr(gathering, "helpers", lambda _: helpers)
    whole = gathering.gather
    monkeypatch.setattr(gathering, "gather", functools.partial(whole, size=size))
    try:
        result = world.prepare(run)
    finally:
        monkeypatch.setattr(gathering, "gather", whole)
    files = {path.name: path.read_bytes() for path in sorted(world.layout.dataset.iterdir())}
    return {"result": result.result, "message": result.message, **files}


def test_neither_workers_nor_chunks_leave_a_trace(world, monkeypatch):
    run = trainer_world.run(dataset=put_everything(world), training={"maxLength": 64})

    alone = prepared(world, run, monkeypatch, helpers=0, size=1 << 20)
    cut = prepared(world, run, monkeypatch, helpers=0, size=300)
    shared = prepared(world, run, monkeypatch, helpers=2, size=700)

    assert alone == cut == shared
    dataset = alone["result"]["dataset"]
    assert dataset["rowsRead"] == 42 + 59 + 20 + 30 + 7 + 25 + 2
    assert dataset["dropped"] == {"ExactDuplicate": 1, "InEval": 1}
    assert dataset["truncated"] > 0
    assert not world.layout.spool.exists()


@pytest.mark.parametrize("helpers", [0, 2])
def test_the_first_bad_row_is_told_whoever_finds_another_one_sooner(world, monkeypatch, helpers):
    rows = [json.dumps(row) for row in TALK * 20]
    rows[300] = json.dumps({"messages": [{"role": "user", "content": "nobody answers"}]})
    rows[305] = "{"
    rows[700] = "no JSON at all"
    world.put("train.jsonl", "\n".join(rows))
    monkeypatch.setattr(gathering, "helpers", lambda _: helpers)

    with pytest.raises(errors.NoAssistantTurn, match=r"train\.jsonl line 301"):
        world.prepare(trainer_world.run())


@pytest.mark.parametrize("helpers", [0, 2])
def test_a_row_that_the_template_refuses_is_told_before_a_later_one_that_is_no_json(
    world, monkeypatch, helpers
):
    (world.model / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if 'forbidden' in m.content %}{{ raise_exception('not that') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    rows = [json.dumps(row) for row in TALK]
    rows[10], rows[12] = json.dumps(turns("forbidden", "words")), "{"
    world.put("train.jsonl", "\n".join(rows))
    monkeypatch.setattr(gathering, "helpers", lambda _: helpers)

    with pytest.raises(errors.InvalidRow, match=r"train\.jsonl line 11: .*not that"):
        world.prepare(trainer_world.run())


def test_what_the_reader_finds_is_told_after_what_the_workers_find_before_it(world, monkeypatch):
    lines = ["prompt,completion", *(f"ask {n},answer {n}" for n in range(400)), "one,two,three"]
    lines[200] = '"\ud7ff",'  # an empty answer: dropped, not told
    uri = world.put("rows.csv", "\n".join(lines))
    run = trainer_world.run(dataset={"train": [{"uri": uri}]})
    monkeypatch.setattr(gathering, "helpers", lambda _: 2)

    with pytest.raises(errors.InvalidRow, match=r"rows\.csv line 402"):
        world.prepare(run)


def children() -> set[int]:
    """Processes that this one has started and that still run."""
    task = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(child) for child in task.read_text().split()}


def large(world: World) -> None:
    """More rows than are read before a test has done what it wants."""
    world.put("train.jsonl", [turns(f"What is {n}?", "It is a number. " * 50) for n in range(8_000)])


def test_a_worker_that_is_killed_ends_prepare_with_a_sentence(world, monkeypatch):
    large(world)
    monkeypatch.setattr(gathering, "helpers", lambda _: 2)
    before = children()

    class Killing(ProgressWriter):
        def tell(self, **changes):
            for child in children() - before:
                os.kill(child, signal.SIGKILL)
            return super().tell(**changes)

    with pytest.raises(
        errors.WorkerDied, match=r"was killed \(SIGKILL\), most likely because memory ran out"
    ):
        prepare.prepare(trainer_world.run(), world.layout, Killing(world.layout.progress, attempt=1))
    assert children() == before
    assert not world.layout.spool.exists()


def test_sigterm_leaves_no_worker_behind(world, monkeypatch):
    large(world)
    monkeypatch.setattr(gathering, "helpers", lambda _: 2)
    before, told = children(), interruption.Interruption()
    earlier = signal.getsignal(signal.SIGTERM)
    told.install()

    def once_they_run() -> None:
        while not (children() - before):
            threading.Event().wait(0.05)
        threading.Event().wait(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=once_they_run)
    thread.start()
    try:
        with pytest.raises(errors.Interrupted):
            world.prepare(trainer_world.run())
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, earlier)

    assert children() == before
    assert not world.layout.spool.exists()


def test_small_data_is_read_here_and_large_data_by_as_many_as_there_are_cpus(tmp_path, monkeypatch):

    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n" * 1000)
    source = Fetched(source=trainer_world.run().dataset.train[0], field="f", files=((path, "rows.jsonl"),))

    for allowed, small, wanted in ((4, 999, 4), (4, 1000, 0), (64, 10, cpus.MOST), (1, 10, 0)):
        monkeypatch.setattr(cpus, "allowed", lambda allowed=allowed: allowed)
        assert gathering.helpers([source], small=small) == wanted


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000"}, 4),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "1600000 100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
    ],
)
def test_the_cpus_of_the_pod_count_and_not_those_of_the_node(tmp_path, monkeypatch, files, wanted):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")

    assert cpus.allowed(tmp_path) == wanted


def test_a_worker_loads_nothing_heavy():
    """Each library costs every worker seconds and memory; pyarrow loads pandas by itself for some calls."""
    program = (
        "import sys\n"
        "from finetune_trainer.data import table, worker\n"
        "from finetune_trainer.data.tokenise import Encoded\n"
        "rows = table.batch([Encoded(None, [5, 6, 7], ((1, 3),))], 'SFT')\n"
        "assert rows.to_pylist() == [{'input_ids': [5, 6, 7], 'labels': [-100, 6, 7]}]\n"
        "print([name for name in ('torch', 'transformers', 'pandas', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
