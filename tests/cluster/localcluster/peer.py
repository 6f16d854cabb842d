"""The peer of the benchmarks: Kubeflow Trainer and the JobSet below it, from source, as two processes on loopback."""

import base64
import json
from pathlib import Path
from typing import Any

from localcluster import daemons, documents, peer_documents, probes, programs, toolchain
from localcluster.control_plane import ControlPlane
from localcluster.daemons import Daemon
from localcluster.peer_documents import JOBSET, NAMESPACE, TRAINER, Manager
from localcluster.steps import Steps


def up(control: ControlPlane, steps: Steps) -> None:
    """Have both running beside a control plane, and the runtime that jobs name."""
    for build in toolchain.PEERS:
        toolchain.ensure_built(control.places, build, steps)
    with steps.step("Kubeflow Trainer and JobSet", "about 5 s"):
        pair = control.authority.issue("peer-webhooks", "peer-webhooks", hosts=(control.address,))
        folder = control.places.state / "peer" / "k8s-webhook-server" / "serving-certs"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tls.crt").write_text(pair.certificate.read_text())
        (folder / "tls.key").write_text(pair.key.read_text())
        authority = base64.b64encode(control.authority.pair.certificate.read_bytes()).decode()
        everything = [peer_documents.namespace(), *peer_documents.webhooks(control.address, authority)]
        for manager in (JOBSET, TRAINER):
            everything += peer_documents.account(manager)
            source = _folder_of(manager)
            crds = sorted((source / manager.crds).glob("*_*.yaml"))
            for file in (*crds, source / manager.role):
                _kubectl(control, "apply", "--server-side", "-f", str(file))
        _apply(control, everything)
        for manager in (JOBSET, TRAINER):
            daemons.ensure(control.places, daemon(control, manager))
        _apply(control, [peer_documents.runtime()])


def daemon(control: ControlPlane, manager: Manager) -> Daemon:
    """Settings as they come, but for addresses, certificates from outside and no leader election."""
    folder = control.places.state / "peer"
    token = _kubectl(control, "create", "token", manager.name, "-n", NAMESPACE, "--duration=4h").strip()
    files = {
        folder / f"{manager.name}.kubeconfig": peer_documents.kubeconfig(
            control.server, control.authority.pair.certificate, token
        ),
        folder / f"{manager.name}.json": documents.as_text(
            peer_documents.configuration(manager, control.address, folder)
        ),
    }
    return Daemon(
        name=manager.name,
        argv=(str(control.binaries / manager.name), f"--config={folder / manager.name}.json"),
        files=files,
        # Trainer looks for its certificates below the folder for temporary files, wherever that is.
        environ={"KUBECONFIG": str(folder / f"{manager.name}.kubeconfig"), "TMPDIR": str(folder)},
        ready=probes.page(f"http://{control.address}:{manager.health_port}/readyz"),
    )


def _folder_of(manager: Manager) -> Path:
    """The module's sources: its CRDs and its role."""
    (build,) = [one for one in toolchain.PEERS if one.binary == manager.name]
    answer = programs.run("go", "mod", "download", "-json", manager.module, cwd=build.folder)
    return Path(json.loads(answer)["Dir"])


def _apply(control: ControlPlane, manifests: list[dict[str, Any]]) -> None:
    file = control.places.state / "peer" / "manifests.json"
    file.write_text(documents.as_text({"apiVersion": "v1", "kind": "List", "items": manifests}))
    _kubectl(control, "apply", "--server-side", "-f", str(file))


def _kubectl(control: ControlPlane, *words: str) -> str:
    kubectl = str(control.binaries / "kubectl")
    return programs.run(kubectl, "--kubeconfig", str(control.places.kubeconfig), *words)
