"""Every example passes `kubectl apply --dry-run=server`, as a reader would try it."""

import json

import pytest

import examples

FOUND = dict(examples.found())


@pytest.mark.parametrize("where", FOUND)
def test_the_api_server_takes_an_example(where, kube):
    example = json.loads(json.dumps(FOUND[where]))
    if example["kind"] == "FineTuneJob":
        example["metadata"]["namespace"] = "default"

    done = kube.run(
        "kubectl", "apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=json.dumps(example)
    )

    assert done.returncode == 0, done.stderr
