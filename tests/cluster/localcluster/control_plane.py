"""etcd, the API server, the controller manager and the scheduler: for the cluster, and once more for benchmarks."""

from dataclasses import dataclass
from pathlib import Path

from localcluster import addresses, certificates, daemons, probes
from localcluster.api import Api
from localcluster.daemons import Daemon
from localcluster.places import Places
from localcluster.steps import Steps

READY = "readyz"
NICENESS = -5  # a training pod on all cores must not make nodes look dead


@dataclass(frozen=True)
class Ports:
    api: int = addresses.API_PORT
    etcd: int = 2379
    etcd_peers: int = 2380
    etcd_metrics: int = 2381
    controller_manager: int = 10257
    scheduler: int = 10259


@dataclass(frozen=True)
class ControlPlane:
    """Four daemons at one address."""

    places: Places
    binaries: Path
    address: str
    namespace: str | None  # network namespace; None: the host's own, on loopback
    ports: Ports = Ports()
    request_rate: int = 100  # requests per second that controller manager and scheduler allow themselves
    extra: tuple[str, ...] = ()  # more flags of the controller manager
    extra_api: tuple[str, ...] = ()  # more flags of the API server

    @property
    def server(self) -> str:
        return f"https://{self.address}:{self.ports.api}"

    @property
    def authority(self) -> certificates.Authority:
        return certificates.Authority(self.places.certificates, "finetune-cluster")

    def api(self) -> Api:
        """A client with all rights."""
        admin = self.authority.issue("admin", "admin", group="system:masters")
        return Api(self.server, self.authority.pair.certificate, admin)

    def ensure(self, steps: Steps) -> None:
        """Have all four running, and the kubeconfig of the administrator written."""
        with steps.step("certificates", "under 1 s") as step:
            step.note = f"in {self.places.certificates}"
            self.authority.ensure()
            self.authority.kubeconfig(self.places.kubeconfig, self.server, self.api().client)
            four = (self.etcd(), self.api_server(), self.controller_manager(), self.scheduler())
        for daemon, cost in zip(four, ("1 s", "5 s", "1 s", "1 s"), strict=True):
            with steps.step(daemon.name, f"about {cost}") as step:
                step.note = "started" if daemons.ensure(self.places, daemon) else "was running"

    def etcd(self) -> Daemon:
        ports = self.ports
        client, peer, metrics = (
            f"http://127.0.0.1:{port}" for port in (ports.etcd, ports.etcd_peers, ports.etcd_metrics)
        )
        if (
            self.namespace
        ):  # loopback of the namespace is out of the probe's reach; metrics say nothing secret
            metrics = f"http://{self.address}:{ports.etcd_metrics}"
        return Daemon(
            name="etcd",
            argv=(
                str(self.binaries / "etcd"),
                f"--data-dir={self.places.state}/etcd",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                f"--listen-metrics-urls={metrics}",
                "--unsafe-no-fsync",  # a test cluster that loses power is made anew
                "--log-level=warn",
            ),
            ready=probes.page(f"{metrics}/health"),
            namespace=self.namespace,
            niceness=NICENESS,
            advice="If its data is damaged: `down`, then `up`.",
        )

    def api_server(self) -> Daemon:
        issue, folder = self.authority.issue, self.places.certificates
        front = certificates.Authority(folder, "front-proxy")
        front.ensure()
        hosts = (
            self.address,
            "127.0.0.1",
            addresses.API_SERVICE,
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
        )
        serving = issue(
            "kube-apiserver", "kube-apiserver", hosts=(*hosts, f"kubernetes.default.svc.{addresses.DOMAIN}")
        )
        to_kubelets = issue(
            "kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", group="system:masters"
        )
        proxy = front.issue("front-proxy-client", "front-proxy-client")
        signing = certificates.signing_key(folder / "service-accounts.key")
        return Daemon(
            name="kube-apiserver",
            argv=(
                str(self.binaries / "kube-apiserver"),
                f"--advertise-address={self.address}",
                f"--bind-address={self.address if not self.namespace else '0.0.0.0'}",  # noqa: S104
                f"--secure-port={self.ports.api}",
                f"--etcd-servers=http://127.0.0.1:{self.ports.etcd}",
                f"--service-cluster-ip-range={addresses.SERVICE_CIDR}",
                "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction",  # beside the defaults: PodSecurity, ValidatingAdmissionPolicy, quota
                f"--client-ca-file={self.authority.pair.certificate}",
                f"--tls-cert-file={serving.certificate}",
                f"--tls-private-key-file={serving.key}",
                f"--kubelet-client-certificate={to_kubelets.certificate}",
                f"--kubelet-client-key={to_kubelets.key}",
                "--kubelet-preferred-address-types=InternalIP",  # `kubectl logs` would look up the node's name otherwise
                f"--service-account-issuer=https://kubernetes.default.svc.{addresses.DOMAIN}",
                f"--service-account-key-file={signing}",
                f"--service-account-signing-key-file={signing}",
                # Aggregation: an APIService that stays unavailable holds every namespace in Terminating.
                f"--requestheader-client-ca-file={front.pair.certificate}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                f"--proxy-client-cert-file={proxy.certificate}",
                f"--proxy-client-key-file={proxy.key}",
                "--allow-privileged=true",
                "--profiling=false",
                *self.extra_api,
            ),
            ready=probes.page(f"{self.server}/{READY}"),
            namespace=self.namespace,
            niceness=NICENESS,
        )

    def controller_manager(self) -> Daemon:
        config = self._component("kube-controller-manager")
        return Daemon(
            name="kube-controller-manager",
            argv=(
                str(self.binaries / "kube-controller-manager"),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                f"--bind-address={self.address}",
                f"--secure-port={self.ports.controller_manager}",
                f"--root-ca-file={self.authority.pair.certificate}",
                f"--service-account-private-key-file={self.places.certificates / 'service-accounts.key'}",
                f"--cluster-signing-cert-file={self.authority.pair.certificate}",
                f"--cluster-signing-key-file={self.authority.pair.key}",
                "--use-service-account-credentials",
                "--leader-elect=false",
                f"--kube-api-qps={self.request_rate}",
                f"--kube-api-burst={self.request_rate * 2}",
                *self.extra,
            ),
            ready=probes.page(f"https://{self.address}:{self.ports.controller_manager}/healthz"),
            namespace=self.namespace,
            niceness=NICENESS,
        )

    def scheduler(self) -> Daemon:
        config = self._component("kube-scheduler")
        return Daemon(
            name="kube-scheduler",
            argv=(
                str(self.binaries / "kube-scheduler"),
                f"--kubeconfig={config}",
                f"--authentication-kubeconfig={config}",
                f"--authorization-kubeconfig={config}",
                f"--bind-address={self.address}",
                f"--secure-port={self.ports.scheduler}",
                "--leader-elect=false",
                f"--kube-api-qps={self.request_rate}",
                f"--kube-api-burst={self.request_rate * 2}",
            ),
            ready=probes.page(f"https://{self.address}:{self.ports.scheduler}/healthz"),
            namespace=self.namespace,
            niceness=NICENESS,
        )

    def _component(self, name: str) -> Path:
        """The kubeconfig of a component: Kubernetes' own RBAC rules know it by this user name."""
        client = self.authority.issue(name, f"system:{name}")
        return self.authority.kubeconfig(self.places.state / f"{name}.kubeconfig", self.server, client)


def of_cluster(places: Places, binaries: Path) -> ControlPlane:
    """The control plane of the cluster, on node 1."""
    return ControlPlane(
        places=places,
        binaries=binaries,
        address=addresses.FIRST.address,
        namespace=addresses.FIRST.namespace,
        # A dead node is noticed in 6 to 11 s instead of 50. Every kubelet must report more often then, see documents.kubelet.
        extra=("--node-monitor-grace-period=8s", "--node-monitor-period=2s"),
    )
