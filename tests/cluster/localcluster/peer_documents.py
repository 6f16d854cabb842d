"""PURE: what Kubeflow Trainer and JobSet are told, and what the API server is told of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster import documents

NAMESPACE = "peer-system"
RUNTIME = "plain"
"""The ClusterTrainingRuntime of the benchmark: one container, one GPU, no framework."""
TRAINER_MODULE, JOBSET_MODULE = "github.com/kubeflow/trainer/v2", "sigs.k8s.io/jobset"
TRAINJOBS, JOBSETS = "trainer.kubeflow.org/v1alpha1", "jobset.x-k8s.io/v1alpha2"
LABELLED_PODS = {"matchExpressions": [{"key": "jobset.sigs.k8s.io/jobset-name", "operator": "Exists"}]}


@dataclass(frozen=True)
class Manager:
    """One of the two, and what it brings along: paths are those of its module."""

    name: str
    module: str
    crds: str
    role: str
    role_name: str
    webhook_port: int
    health_port: int


TRAINER = Manager(
    name="trainer-controller-manager",
    module=TRAINER_MODULE,
    crds="manifests/base/crds",
    role="manifests/base/rbac/role.yaml",
    role_name="kubeflow-trainer-controller-manager",
    webhook_port=20443,
    health_port=20081,
)
JOBSET = Manager(
    name="jobset",
    module=JOBSET_MODULE,
    crds="config/components/crd/bases",
    role="config/components/rbac/role.yaml",
    role_name="manager-role",
    webhook_port=20444,
    health_port=20082,
)


def configuration(manager: Manager, address: str, folder: Path) -> dict[str, Any]:
    """the manager's own configuration file."""
    common: dict[str, Any] = {
        "health": {"healthProbeBindAddress": f"{address}:{manager.health_port}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": manager.webhook_port, "host": address},
        "leaderElection": {"leaderElect": False},
    }
    if manager is TRAINER:
        return {
            "apiVersion": "config.trainer.kubeflow.org/v1alpha1",
            "kind": "Configuration",
            **common,
            "certManagement": {"enable": False},
            "controller": {"groupKindConcurrency": {"TrainJob.trainer.kubeflow.org": 5}},  # as its manifests
        }
    common["webhook"]["certDir"] = str(folder / "k8s-webhook-server" / "serving-certs")
    return {
        "apiVersion": "config.jobset.x-k8s.io/v1alpha1",
        "kind": "Configuration",
        **common,
        "internalCertManagement": {"enable": False},
    }


def kubeconfig(server: str, authority: Path, token: str) -> str:
    """a ServiceAccount's, so that the API server treats a manager as anybody."""
    cluster = {"server": server, "certificate-authority": str(authority)}
    return documents.as_text(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "peer", "cluster": cluster}],
            "users": [{"name": "peer", "user": {"token": token}}],
            "contexts": [{"name": "peer", "context": {"cluster": "peer", "user": "peer"}}],
            "current-context": "peer",
        }
    )


def namespace() -> dict[str, Any]:
    """where the accounts live."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def account(manager: Manager) -> list[dict[str, Any]]:
    """a ServiceAccount with the role of the manager's module."""
    group = "rbac.authorization.k8s.io"
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": manager.name, "namespace": NAMESPACE},
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"peer-{manager.name}"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": manager.role_name},
            "subjects": [{"kind": "ServiceAccount", "name": manager.name, "namespace": NAMESPACE}],
        },
    ]


def webhooks(address: str, authority: str) -> list[dict[str, Any]]:
    """what the two manifests register, at addresses on loopback. `authority` is base64 of PEM."""

    def hook(
        manager: Manager, name: str, path: str, of: str, kind: str, *verbs: str, pods: bool = False
    ) -> dict[str, Any]:
        group, _, version = of.rpartition("/")
        rule = {
            "apiGroups": [group],
            "apiVersions": [version],
            "operations": list(verbs),
            "resources": [kind],
        }
        url = f"https://{address}:{manager.webhook_port}/{path}"
        return {
            "name": name,
            "clientConfig": {"url": url, "caBundle": authority},
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **({"objectSelector": LABELLED_PODS} if pods else {}),
        }

    def configured(kind: str, name: str, *hooks: dict[str, Any]) -> dict[str, Any]:
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": list(hooks),
        }

    def trainer(verb: str, who: str, kind: str) -> dict[str, Any]:
        path = f"{verb}-trainer-kubeflow-org-v1alpha1-{kind}"
        name = f"{who}.{kind}.trainer.kubeflow.org"
        return hook(TRAINER, name, path, TRAINJOBS, f"{kind}s", "CREATE", "UPDATE")

    kinds = ("clustertrainingruntime", "trainingruntime", "trainjob")
    jobset = "jobset-x-k8s-io-v1alpha2-jobset"
    return [
        configured(
            "Mutating",
            "jobset-mutating",
            hook(JOBSET, "mjobset.kb.io", f"mutate-{jobset}", JOBSETS, "jobsets", "CREATE"),
            hook(JOBSET, "mpod.kb.io", "mutate--v1-pod", "v1", "pods", "CREATE", pods=True),
        ),
        configured(
            "Validating",
            "jobset-validating",
            hook(JOBSET, "vjobset.kb.io", f"validate-{jobset}", JOBSETS, "jobsets", "CREATE", "UPDATE"),
            hook(JOBSET, "vpod.kb.io", "validate--v1-pod", "v1", "pods", "CREATE", pods=True),
        ),
        configured("Mutating", "defaulter.trainer.kubeflow.org", trainer("mutate", "defaulter", "trainjob")),
        configured(
            "Validating",
            "validator.trainer.kubeflow.org",
            *(trainer("validate", "validator", kind) for kind in kinds),
        ),
    ]


def runtime() -> dict[str, Any]:
    """what a TrainJob of the benchmark becomes: a JobSet of one Job of one pod."""
    resources = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
    container = {
        "name": "node",
        "image": "trainer:bench",
        "resources": {"limits": resources, "requests": resources},
    }
    job = {
        "name": "node",
        "template": {
            "metadata": {"labels": {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}},
            "spec": {"template": {"spec": {"containers": [container]}}},
        },
    }
    return {
        "apiVersion": TRAINJOBS,
        "kind": "ClusterTrainingRuntime",
        "metadata": {"name": RUNTIME},
        "spec": {"mlPolicy": {"numNodes": 1}, "template": {"spec": {"replicatedJobs": [job]}}},
    }
