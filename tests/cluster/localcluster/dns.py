"""CoreDNS as a process: pods resolve Services and each other by it."""

from localcluster import addresses, documents, probes
from localcluster.api import Api
from localcluster.control_plane import ControlPlane
from localcluster.daemons import Daemon

USER = "system:coredns"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def allow(api: Api) -> None:
    """CoreDNS reads Services and what is behind them."""
    watch = ["list", "watch"]
    api.apply(
        f"{RBAC}/clusterroles/{USER}",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": USER},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces"],
                    "verbs": watch,
                },
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
            ],
        },
    )
    api.apply(
        f"{RBAC}/clusterrolebindings/{USER}",
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": USER},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": USER},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
        },
    )


def daemon(plane: ControlPlane) -> Daemon:
    places, address = plane.places, addresses.FIRST.address
    client = plane.authority.issue("coredns", USER)
    kubeconfig = plane.authority.kubeconfig(places.state / "coredns.kubeconfig", plane.server, client)
    corefile = places.state / "Corefile"
    return Daemon(
        name="coredns",
        argv=(str(plane.binaries / "coredns"), "-conf", str(corefile)),
        files={corefile: documents.corefile(address, kubeconfig)},
        ready=probes.page(f"http://{address}:8080/health"),
        namespace=addresses.FIRST.namespace,
    )
