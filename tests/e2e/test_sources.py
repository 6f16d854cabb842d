"""Every format and every kind of source, each as a job that gets to its data report on the real cluster."""

import csv
import dataclasses
import io
import json
import pathlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hub_standin
import stories
import trainer_tiny_model
import web_server
from localcluster import addresses

HOST = addresses.FIRST.gateway
"""Where pods reach servers of this machine."""

PAIRS = [(f"Name the number after {n}.", f"The number after {n} is {n + 1}.") for n in range(30)]
ALPACA = [
    {"instruction": "Name the next number.", "input": str(n) if n % 2 else "", "output": f"It is {n + 1}."}
    for n in range(30)
]
PLAIN = [{"text": f"{asked} {answered}"} for asked, answered in PAIRS]
NAMED = [{"question": asked, "reply": answered} for asked, answered in PAIRS]
SHARED = [
    {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": answered}]}
    for asked, answered in PAIRS
]
PREFERRED = [
    {"prompt": asked, "chosen": answered, "rejected": f"{answered[:-2]}, or so."} for asked, answered in PAIRS
]
ORCA = [
    {
        "system": "Be brief.",
        "question": row["prompt"],
        "chosen": row["chosen"],
        "rejected": row["rejected"],
    }
    for row in PREFERRED
]
THUMBS = [
    {"prompt": asked, "completion": answered if n % 2 else "I do not know.", "label": bool(n % 2)}
    for n, (asked, answered) in enumerate(PAIRS)
]


def as_csv(rows: list[dict[str, str]]) -> bytes:
    """Rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    """Rows as Parquet."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to bring the data."""

    file: str
    content: bytes
    format: str
    rows: int = 30
    uri: str = "s3://{bucket}/sources/{file}"
    source: dict[str, Any] = dataclasses.field(default_factory=dict)
    method: str = "SFT"


CASES = {
    "messages-jsonl": Case(
        file="talk.jsonl", content=stories.jsonl(stories.TALK), format="messages", rows=40
    ),
    "alpaca-json": Case(file="alpaca.json", content=json.dumps(ALPACA).encode(), format="alpaca"),
    "prompt-completion-csv": Case(
        file="pairs.csv",
        content=as_csv([{"prompt": asked, "completion": answered} for asked, answered in PAIRS]),
        format="prompt-completion",
    ),
    "text-parquet": Case(file="plain.parquet", content=as_parquet(PLAIN), format="text"),
    "template-csv": Case(
        file="named.csv",
        content=as_csv(NAMED),
        format="template",
        source={"template": [{"prompt": "{question}", "completion": "{reply}"}]},
    ),
    "sharegpt-json": Case(file="shared.json", content=json.dumps(SHARED).encode(), format="sharegpt"),
    "preference-jsonl": Case(
        file="preferred.jsonl", content=stories.jsonl(PREFERRED), format="preference", method="DPO"
    ),
    "preference-orca-parquet": Case(
        file="orca.parquet", content=as_parquet(ORCA), format="preference", method="ORPO"
    ),
    "unpaired-preference-jsonl": Case(
        file="thumbs.jsonl", content=stories.jsonl(THUMBS), format="unpaired-preference", method="KTO"
    ),
    "https": Case(file="web.jsonl", content=stories.jsonl(PLAIN), format="text", uri="{web}/web.jsonl"),
    "hub": Case(
        file="train.jsonl", content=stories.jsonl(PLAIN), format="text", uri="hf://datasets/org/rows"
    ),
    "claim": Case(
        file="claim.jsonl", content=stories.jsonl(PLAIN), format="text", uri="pvc://rows/claim.jsonl"
    ),
    "configmap": Case(
        file="map.jsonl", content=stories.jsonl(PLAIN), format="text", uri="configmap://rows/map.jsonl"
    ),
}


@pytest.fixture(scope="module")
def outside(tmp_path_factory, kube):
    """A web server and a stand-in of the Hub on this machine, and a profile whose jobs find and trust them."""
    web, rows, keys = (tmp_path_factory.mktemp(name) for name in ("web", "rows", "keys"))
    (web / CASES["https"].file).write_bytes(CASES["https"].content)
    (rows / CASES["hub"].file).write_bytes(CASES["hub"].content)
    hub = hub_standin.Hub({"org/rows": rows, "org/tiny": trainer_tiny_model.folder()})
    with (
        web_server.files(web, HOST, keys) as (address, authority),
        hub_standin.serving(hub, HOST) as endpoint,
    ):
        kube.apply(
            {
                "apiVersion": "finetune.dev/v1alpha1",
                "kind": "FineTuneProfile",
                "metadata": {"name": "outside"},
                "spec": {"mirrors": {"hub": endpoint}, "extraCa": {"name": "authority"}},
            }
        )
        yield {"web": address, "authority": authority}


def claim(namespace: str, folder: pathlib.Path) -> list[dict[str, Any]]:
    """A claim over a folder of the node, which is this machine."""
    name = f"rows-{namespace}"
    size = {"storage": "1Gi"}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                "capacity": size,
                "accessModes": ["ReadWriteMany"],
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": "",
                "hostPath": {"path": str(folder)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "rows", "namespace": namespace},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": size},
                "storageClassName": "",
                "volumeName": name,
            },
        },
    ]


def config_map(namespace: str, name: str, data: dict[str, str]) -> dict[str, Any]:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


@pytest.fixture(scope="module")
def applied(kube, bucket, make_namespace, outside, tmp_path_factory):
    """All cases, applied at once, in one namespace."""
    namespace = make_namespace("sources")
    folder = tmp_path_factory.mktemp("claim")
    for above in (folder, *folder.parents):
        if above.stat().st_uid == 0 and above.name.startswith(("pytest-", "claim")):
            above.chmod(0o755)  # pytest's folders are their owner's alone; the pod is somebody else
    (folder / CASES["claim"].file).write_bytes(CASES["claim"].content)
    maps = (
        ("rows", {CASES["configmap"].file: CASES["configmap"].content.decode()}),
        ("authority", {"ca.crt": outside["authority"]}),
    )
    for manifest in (*claim(namespace, folder), *(config_map(namespace, name, data) for name, data in maps)):
        kube.apply(manifest)
    for name, case in CASES.items():
        bucket.put(f"sources/{case.file}", case.content)
        uri = case.uri.format(bucket=bucket.name, file=case.file, web=outside["web"])
        spec: dict[str, Any] = {
            "method": case.method,
            "dataset": {"train": [{"uri": uri, **case.source}]},
            "profile": "outside",
        }
        if name == "hub":
            spec["model"] = {"uri": "hf://org/tiny"}
        kube.apply(stories.finetunejob(name, namespace, bucket=bucket.name, **spec))
    yield namespace
    kube.kubectl("delete", "persistentvolume", f"rows-{namespace}", "--wait=false")


@pytest.mark.parametrize("name", CASES)
def test_a_source_gets_to_its_data_report(name, kube, applied):
    job = stories.wait_until(
        lambda: kube.get("ftj", name, applied),
        lambda job: stories.condition(job, "Prepared").get("status") == "True" or stories.ended(job),
        what="the data report",
        seconds=600,
    )
    kube.kubectl("delete", "ftj", name, "-n", applied, "--wait=false")  # training is another story's

    assert stories.condition(job, "Prepared").get("status") == "True", stories.says(job)
    seen = job["status"]["dataset"]
    assert seen["rowsRead"] == CASES[name].rows
    assert seen["rows"] + seen["evalRows"] + sum(seen.get("dropped", {}).values()) == CASES[name].rows
    assert seen["format"] == CASES[name].format
    assert seen["supervisedTokens"] > 0  # for preferences: the tokens of the answers
