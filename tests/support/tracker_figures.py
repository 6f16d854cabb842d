"""What trackers hold, read back by other means than it was written: each as {(name, step): value}."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Figures = dict[tuple[str, int], float]

BLOCK, HEADER = 32768, 7
"""W&B's file is LevelDB's log: blocks of records, whose header holds checksum, length and type."""

WHOLE, LAST = 1, 4
"""Types of records that end something."""


def logged(path: Path) -> Figures:
    """metrics.jsonl, but for what is no number."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return {
        (name, entry["step"]): float(value)
        for entry in entries
        for name, value in entry.items()
        if name != "step" and value is not None
    }


def of_tensorboard(folder: Path) -> Figures:
    """As TensorBoard itself reads it."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {(name, one.step): one.value for name in events.Tags()["scalars"] for one in events.Scalars(name)}


def of_mlflow(place: str, uid: str, experiment: str) -> tuple[Any, Figures]:
    """The one run of the job, and its figures. Each (name, step) must stand there once."""
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    from mlflow import MlflowClient  # noqa: PLC0415

    client = MlflowClient(tracking_uri=place)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    (run,) = client.search_runs([found.experiment_id], f"tags.`finetune.uid` = '{uid}'")
    history = [one for name in run.data.metrics for one in client.get_metric_history(run.info.run_id, name)]
    figures = {(one.key, one.step): one.value for one in history}
    assert len(figures) == len(history)
    return run, figures


def of_wandb(path: Path) -> tuple[dict[str, Any], Figures]:
    """An offline run: its id, name, settings and summary, and its figures."""
    from wandb.proto import wandb_internal_pb2  # noqa: PLC0415

    run: dict[str, Any] = {"summary": {}}
    figures: Figures = {}
    for raw in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(raw)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            settings = {one.key: json.loads(one.value_json) for one in record.run.config.update}
            run |= {"id": record.run.run_id, "name": record.run.display_name, "settings": settings}
        if kind == "summary":
            run["summary"] |= dict(_items(record.summary.update))
        if kind == "history":
            row = dict(_items(record.history.item))
            step = int(row["_step"])
            figures |= {(name, step): value for name, value in row.items() if not name.startswith("_")}
    return run, figures


def _items(items: Any) -> Iterator[tuple[str, Any]]:
    for one in items:
        yield "/".join(one.nested_key) or one.key, json.loads(one.value_json)


def _records(raw: bytes) -> Iterator[bytes]:
    place, found = HEADER, b""
    while place + HEADER <= len(raw):
        if BLOCK - place % BLOCK < HEADER:  # a block's last bytes hold no header
            place += BLOCK - place % BLOCK
        _, length, kind = struct.unpack_from("<IHB", raw, place)
        found += raw[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in {WHOLE, LAST}:
            yield found
            found = b""
