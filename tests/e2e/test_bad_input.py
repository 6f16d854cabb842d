"""Bad input is told in a sentence, and no GPU pod is made for it.

Every case is a real job on the real cluster. They are all applied at once, and asked one by one.
"""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

import stories

ROWS = stories.jsonl(stories.TALK)
Manifest = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One way to get it wrong."""

    name: str
    reason: str
    says: str
    """A regular expression that the sentence must match."""
    content: bytes | None = ROWS
    """What lies at the data source; None: nothing."""
    file: str = "data.jsonl"
    source: Manifest = dataclasses.field(default_factory=dict)
    """More fields of the data source."""
    spec: Callable[[str], Manifest] = lambda _: {}
    """More fields of the spec, given the bucket's name."""
    ends: bool = True
    """Whether the job fails at once; else it waits, and says what for."""


CASES = [
    Case(
        name="no-such-file",
        reason="DataFileNotFound",
        content=None,
        says=r"spec\.dataset\.train\[0\].*data\.jsonl",
    ),
    Case(name="empty-file", reason="EmptyDataset", content=b"", says=r"data\.jsonl.*(empty|no rows)"),
    Case(
        name="broken-line",
        reason="InvalidRow",
        content=ROWS + b'{"messages": [{"role": "user", "content": "unfinished}\n',
        says=r"data\.jsonl.*line 41.*unfinished",
    ),
    Case(
        name="no-assistant-turn",
        reason="NoAssistantTurn",
        content=ROWS + stories.jsonl([{"messages": [{"role": "user", "content": "Anybody there?"}]}]),
        says=r"line 41.*assistant",
    ),
    Case(
        name="template-column",
        reason="TemplateColumnMissing",
        content=stories.jsonl([{"document": "A long text.", "headline": "Text"}] * 3),
        source={"template": [{"prompt": "Title of:\n{document}", "completion": "{title}"}]},
        says=r"title.*document.*headline",
    ),
    Case(
        name="unknown-format",
        reason="UnknownFormat",
        content=stories.jsonl([{"foo": "1", "bar": "2"}] * 3),
        says=r"foo.*bar|bar.*foo",
    ),
    Case(
        name="nothing-to-learn",
        reason="NothingToLearn",
        content=stories.jsonl([{"prompt": f"Question {n}\n", "completion": " "} for n in range(5)]),
        says=r"learn|empty",
    ),
    Case(
        name="all-too-long",
        reason="AllRowsTooLong",
        content=stories.jsonl(
            [
                {
                    "messages": [
                        {"role": "user", "content": f"{n} " * 400},
                        {"role": "assistant", "content": "Yes."},
                    ]
                }
                for n in range(4)
            ]
        ),
        spec=lambda _: {"training": {"maxSteps": 2, "maxLength": 32}},
        says=r"maxLength",
    ),
    Case(
        name="no-such-model",
        reason="ModelNotFound",
        spec=lambda bucket: {"model": {"uri": f"s3://{bucket}/models/nothing-here"}},
        says=r"spec\.model\.uri.*nothing-here",
    ),
    Case(
        name="target-modules",
        reason="TargetModulesNotFound",
        spec=lambda _: {"tuning": {"lora": {"rank": 4, "targetModules": ["query_key_value"]}}},
        says=r"query_key_value.*q_proj",
    ),
    Case(
        name="no-such-bucket",
        reason="BucketNotFound",
        spec=lambda _: {
            "output": {"uri": "s3://no-such-bucket-here/a", "credentialsSecretRef": {"name": "bucket"}},
            "dataset": {"train": [{"uri": "s3://no-such-bucket-here/x.jsonl"}]},
        },
        says=r"no-such-bucket-here",
    ),
    Case(
        name="denied-bucket",
        reason="AccessDenied",
        spec=lambda bucket: {
            "dataset": {
                "train": [
                    {"uri": f"s3://{bucket}/data/talk.jsonl", "credentialsSecretRef": {"name": "stranger"}}
                ]
            }
        },
        says=r"spec\.dataset\.train\[0\].*stranger",
    ),
    Case(
        name="denied-output",
        reason="AccessDenied",
        spec=lambda bucket: {
            "model": {"uri": f"s3://{bucket}/models/tiny", "credentialsSecretRef": {"name": "bucket"}},
            "dataset": {
                "train": [
                    {"uri": f"s3://{bucket}/data/talk.jsonl", "credentialsSecretRef": {"name": "bucket"}}
                ]
            },
            "output": {"uri": f"s3://{bucket}/adapters/denied", "credentialsSecretRef": {"name": "stranger"}},
        },
        says=r"spec\.output\.uri.*stranger",
    ),
    Case(
        name="wrong-keys",
        reason="AccessDenied",
        spec=lambda bucket: {
            "output": {"uri": f"s3://{bucket}/adapters/wrong", "credentialsSecretRef": {"name": "wrong-keys"}}
        },
        says=r"wrong-keys",
    ),
    Case(
        name="no-secret",
        reason="SecretMissing",
        spec=lambda bucket: {
            "output": {"uri": f"s3://{bucket}/adapters/x", "credentialsSecretRef": {"name": "not-made-yet"}}
        },
        says=r"not-made-yet",
        ends=False,
    ),
    Case(
        name="wrong-endpoint",
        reason="EndpointUnreachable",
        spec=lambda bucket: {
            "output": {"uri": f"s3://{bucket}/adapters/x", "credentialsSecretRef": {"name": "wrong-endpoint"}}
        },
        says=r"spec\.(output|model|dataset).*127\.0\.0\.1:9",
        ends=False,
    ),
    Case(
        name="not-yet-supported",
        reason="NotYetSupported",
        spec=lambda _: {"model": {"uri": "oci://registry.example/model"}},
        says=r"spec\.model\.uri",
    ),
    Case(
        name="no-such-profile",
        reason="ProfileNotFound",
        spec=lambda _: {"profile": "no-such-profile"},
        says=r"spec\.profile.*no-such-profile",
        ends=False,
    ),
]


@pytest.fixture(scope="module")
def applied(kube, bucket, make_namespace) -> str:
    """All cases, applied at once, in one namespace."""
    namespace = make_namespace("bad-input")
    kube.apply(bucket.secret(namespace, "wrong-keys", AWS_SECRET_ACCESS_KEY="not the secret"))
    kube.apply(bucket.secret(namespace, "wrong-endpoint", AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    for case in CASES:
        uri = f"s3://{bucket.name}/bad/{case.name}/{case.file}"
        if case.content is not None:
            bucket.put(f"bad/{case.name}/{case.file}", case.content)
        spec = {"dataset": {"train": [{"uri": uri, **case.source}]}, **case.spec(bucket.name)}
        kube.apply(stories.finetunejob(case.name, namespace, bucket=bucket.name, **spec))
    return namespace


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_told_in_a_sentence_and_takes_no_gpu(case, kube, applied, cluster):
    if "stranger" in case.says and not cluster["s3"]["stranger"]:
        pytest.skip("needs a second account of the S3 server; only the local cluster has one")
    job = stories.wait_until(
        lambda: kube.get("ftj", case.name, applied),
        lambda job: (
            stories.ended(job) or (not case.ends and case.reason in json.dumps(job.get("status", {})))
        ),
        what=f"{case.name} to be told",
        seconds=600,
    )

    ready = stories.condition(job, "Ready")
    assert ready["reason"] == case.reason, stories.says(job)
    assert re.search(case.says, ready["message"], re.IGNORECASE | re.DOTALL), ready["message"]
    assert stories.condition(job, "Stalled").get("status", "False") == ("True" if case.ends else "False")
    assert "Traceback" not in ready["message"]
    training = kube.list("jobs", applied, f"finetune.dev/job-name={case.name},finetune.dev/stage=train")
    assert training == []
