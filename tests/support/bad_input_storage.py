"""Bad input: Secrets that are not there, and what servers answer."""

from typing import Any

from bad_input import Case

S3 = {"AWS_ACCESS_KEY_ID": "root", "AWS_SECRET_ACCESS_KEY": "root-secret", "AWS_ENDPOINT_URL": "{s3}"}


def outside(wrong: str, reason: str, code: int = 69, **more: Any) -> Case:
    """Something that is not the author's, or not only."""
    return Case(wrong=wrong, code=code, reason=reason, **more)


def data(uri: str, secret: str | None = None) -> dict[str, Any]:
    """The data lies elsewhere."""
    return {"dataset": {"train": [{"uri": uri, **named(secret)}]}}


def model(uri: str, secret: str | None = None) -> dict[str, Any]:
    """The model lies on the stand-in of the Hub."""
    return {"model": {"uri": uri, **named(secret)}, "hub": {"endpoint": "{hub}"}}


def named(secret: str | None) -> dict[str, Any]:
    """A reference to a Secret."""
    return {"credentialsSecretRef": {"name": secret}} if secret else {}


def output(secret: str) -> dict[str, Any]:
    """The output lies in a bucket."""
    return {"output": {"uri": "s3://finetune/a", **named(secret)}}


SECRETS = [
    outside("a Secret that does not exist", "SecretMissing", spec=output("not-made-yet")),
    outside(
        "a Secret that lacks a key",
        "SecretMissing",
        spec=output("half"),
        secrets={"half": {"AWS_ACCESS_KEY_ID": "me"}},
    ),
    outside(
        "a ConfigMap that does not exist",
        "ConfigMapMissing",
        spec=data("configmap://not-made-yet/train.jsonl"),
    ),
    outside(
        "a Secret for an address without TLS",
        "InvalidRun",
        64,
        spec=data("{web}/train.jsonl", "token"),
        secrets={"token": {"TOKEN": "x"}},
    ),
]

ANSWERS = [
    outside("a web address with nothing there", "DataFileNotFound", 64, spec=data("{web}/missing.jsonl")),
    outside(
        "a presigned address that has expired",
        "AccessDenied",
        77,
        spec=data("{web}/denied.jsonl?signature=secret"),
    ),
    outside(
        "a web address that the server refuses as a bad request",
        "DataFileNotFound",
        64,
        spec=data("{web}/odd.jsonl"),
    ),
    outside("a web server with an error of its own", "StorageUnavailable", spec=data("{web}/broken.jsonl")),
    outside("a web server that sends a login page", "InvalidFile", 64, spec=data("{web}/login.jsonl")),
    outside(
        "nobody listens at the address", "EndpointUnreachable", spec=data("http://127.0.0.1:9/train.jsonl")
    ),
    outside("no such model on the Hub", "ModelNotFound", 64, spec=model("hf://org/nothing")),
    outside("no such revision on the Hub", "ModelNotFound", 64, spec=model("hf://org/tiny@v9")),
    outside("a gated model, and no token", "GatedModel", 77, spec=model("hf://org/gated")),
    outside(
        "a gated model, and a token without access",
        "GatedModel",
        77,
        spec=model("hf://org/gated", "hub"),
        secrets={"hub": {"HF_TOKEN": "hf_somebody"}},
    ),
    outside(
        "a copy on the Hub, and a token that may not write there",
        "AccessDenied",
        77,
        spec={
            "output": {
                "uri": "pvc://out/result",
                "hub": {"repo": "org/tiny", "credentialsSecretRef": {"name": "hub"}},
            },
            "hub": {"endpoint": "{own hub}"},
        },
        secrets={"hub": {"HF_TOKEN": "hf_somebody"}},
    ),
    outside(
        "a copy on the Hub where the profile says offline",
        "SettingsDoNotFit",
        64,
        spec={"output": {"uri": "pvc://out/result", "hub": {"repo": "org/tiny"}}, "hub": {"offline": True}},
    ),
    outside("a folder of a model's repository", "InvalidRun", 64, spec=model("hf://org/tiny/sub")),
    outside(
        "no such bucket",
        "BucketNotFound",
        64,
        spec=data("s3://no-such-bucket/train.jsonl", "bucket"),
        secrets={"bucket": S3},
    ),
    outside(
        "no such object in the bucket",
        "DataFileNotFound",
        64,
        spec=data("s3://finetune/train.jsonl", "bucket"),
        secrets={"bucket": S3},
    ),
    outside(
        "a secret key that is wrong",
        "AccessDenied",
        77,
        spec=data("s3://finetune/train.jsonl", "wrong"),
        secrets={"wrong": {**S3, "AWS_SECRET_ACCESS_KEY": "not the secret"}},
    ),
    outside(
        "an endpoint that nobody listens at",
        "EndpointUnreachable",
        spec=data("s3://finetune/train.jsonl", "nowhere"),
        secrets={"nowhere": {**S3, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}},
    ),
]

CHAPTERS = {"Secrets and ConfigMaps": SECRETS, "What servers answer": ANSWERS}
