"""What kstatus, Argo CD and Flux say of objects: their own code, in the Go program of tests/cluster/tools/health."""

import functools
import json
import os
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

import yaml

import gitops_states
from localcluster import places, toolchain
from localcluster.steps import Steps

FLUX = gitops_states.ARGO.parents[1] / "flux"
SCRIPT = gitops_states.ARGO / "health.lua"
Verdict = dict[str, str]
"""`status` and, where the tool gives one, `message`; or `error`."""


@functools.cache
def program() -> pathlib.Path:
    """The program, built unless it is in the cache (cold 2 to 4 min)."""
    return toolchain.ensure_built(places.places(os.environ), toolchain.HEALTH, Steps())


def expressions(name: str) -> dict[str, str]:
    """`healthCheckExprs` for FineTuneJobs: of the Kustomization that we show (`done`), or those to go on early (`accepted`)."""
    if name == "done":
        (found,) = yaml.safe_load((FLUX / "kustomization.yaml").read_text())["spec"]["healthCheckExprs"]
    else:
        (found,) = yaml.safe_load((FLUX / f"{name}.yaml").read_text())
    return {of: found[of] for of in ("current", "failed")}


def said(objects: Mapping[str, Any]) -> dict[str, dict[str, Verdict]]:
    """By object, and by who says it: `kstatus`, `argo`, and Flux as `done` and `accepted`."""
    request = {
        "lua": SCRIPT.read_text(),
        "exprs": {name: expressions(name) for name in ("done", "accepted")},
        "objects": objects,
    }
    run = subprocess.run(
        [program()], input=json.dumps(request), capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, dict[str, Verdict]] = json.loads(run.stdout)
    return found
