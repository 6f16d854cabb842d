"""The program itself, as its pod runs it: settings from the environment, the API server from KUBECONFIG, SIGTERM at the end."""

import asyncio
import json
import os
import signal
import sys

import pytest
import yaml

from fake_api_server import Fault
from operator_lab import until


def environment(lab, folder, **settings):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": lab.server.url}}],
        "users": [{"name": "me", "user": {"token": "secret"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "me"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    given = {f"FINETUNE_{name.upper()}": str(value) for name, value in settings.items()}
    return {"PATH": os.environ["PATH"], "KUBECONFIG": str(path), "FINETUNE_HTTP_PORT": "0", **given}


async def program(env, *args):
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "finetune_operator",
        *args,
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_serves_until_it_is_told_to_stop_and_hands_the_lease_back(lab, tmp_path):
    process = await program(environment(lab, tmp_path, trainer_image="registry/trainer:1", identity="pod-1"))
    lab.create()
    await lab.settled(seconds=30)
    await asyncio.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = await asyncio.wait_for(process.communicate(), 15)
    assert process.returncode == 0, errors.decode()
    assert lab.server.get("leases", "finetune-operator", "default")["spec"]["holderIdentity"] == ""
    lines = [json.loads(line) for line in errors.decode().splitlines()]
    decided = [line for line in lines if line["message"] == "decided"]
    assert {line["job"] for line in decided} == {"team-a/support-bot"}
    assert [line["rule"] for line in decided][-1] == "succeeded"
    assert "secret" not in errors.decode()


async def test_a_missing_setting_is_named(lab, tmp_path):
    process = await program(environment(lab, tmp_path))
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "FINETUNE_TRAINER_IMAGE" in errors.decode()


@pytest.mark.parametrize("text", [None, "clusters: [", "apiVersion: v1"], ids=["none", "no YAML", "empty"])
async def test_a_kubeconfig_that_cannot_be_used_is_told(text, lab, tmp_path):
    env = environment(lab, tmp_path, trainer_image="registry/trainer:1")
    file = tmp_path / "other"
    if text is not None:
        file.write_text(text)
    process = await program(env | {"KUBECONFIG": str(file)})
    _, errors = await process.communicate()
    assert process.returncode == 2
    assert "Traceback" not in errors.decode()
    *_, told = errors.decode().splitlines()
    assert told.startswith(
        "finetune-operator: there is no service account of a pod, and no kubeconfig can be used ("
    )
    assert told.endswith("); set KUBECONFIG to one")


async def test_help_and_version_tell_every_setting(lab, tmp_path):
    process = await program(environment(lab, tmp_path), "--help")
    told, _ = await process.communicate()
    assert "FINETUNE_PROGRESS_INTERVAL" in told.decode()
    process = await program(environment(lab, tmp_path), "--version")
    told, _ = await process.communicate()
    assert told.decode().startswith("finetune-operator ")


async def test_without_the_api_server_it_waits_and_is_not_ready(lab, tmp_path):
    lab.server.faults.append(Fault("LIST", "*", 503, times=10**6))
    operator = await asyncio.wait_for(_started(lab), 5)
    assert operator._unready()
    lab.server.faults.clear()
    await until(lambda: not operator._unready())


async def _started(lab):
    starting = asyncio.ensure_future(lab.start())
    await until(lambda: lab.operators)
    await asyncio.sleep(0.2)
    starting.cancel()
    return next(iter(lab.operators))
