"""PURE: the configuration files of the daemons, as text. JSON where YAML is asked for: every JSON document is YAML."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from localcluster import addresses
from localcluster.addresses import Node


def as_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def kubeconfig(server: str, authority: Path, certificate: Path, key: Path) -> str:
    """Names files, and so works as the user who may read them only."""
    return as_text(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "finetune", "cluster": {"server": server, "certificate-authority": str(authority)}}
            ],
            "users": [
                {"name": "finetune", "user": {"client-certificate": str(certificate), "client-key": str(key)}}
            ],
            "contexts": [{"name": "finetune", "context": {"cluster": "finetune", "user": "finetune"}}],
            "current-context": "finetune",
        }
    )


def registry(address: str, folder: Path) -> str:
    """The registry's storage lies in the cache: layers pushed once stay pushed."""
    return as_text(
        {
            "version": 0.1,
            "log": {"level": "warn"},
            "http": {"addr": address},
            "storage": {"filesystem": {"rootdirectory": str(folder)}, "delete": {"enabled": True}},
        }
    )


def corefile(address: str, kubeconfig_file: Path) -> str:
    """Two zones: the cluster's, and all the rest, which is answered at once with "there is none": the namespaces have no
    way out. (In one block `template` would come before `kubernetes`, whatever the order written here.)"""
    return f"""\
{addresses.DOMAIN} in-addr.arpa {{
    bind {address}
    errors
    health {address}:8080
    kubernetes {addresses.DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig_file}
        ttl 5
    }}
}}
. {{
    bind {address}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def containerd(root: Path, state: Path, cni: Path, hosts: Path, pause_image: str) -> str:
    """containerd 1.6, with nothing outside our folders but its shims' sockets."""
    return f"""\
version = 2
root = "{root}"
state = "{state}"

[grpc]
  address = "{state}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # A negative oom_score_adj needs CAP_SYS_RESOURCE, which a sandboxed root may lack; every pod would fail without this.
  restrict_oom_score_adj = true
  # Found, and unmounted, by `down` below our own folder.
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{hosts}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    # A layer of 5.8 GB lies in the registry already; unpacked is enough.
    discard_unpacked_layers = true

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{state}/runc"
"""


def registry_hosts(address: str) -> str:
    """Tells containerd what an image name that begins with the registry's name means."""
    return f"""\
server = "http://{address}"

[host."http://{address}"]
  capabilities = ["pull", "resolve"]
"""


def pod_network(node: Node, folder: Path) -> str:
    """`ptp` and not `bridge`: every packet is routed by the node, so that kube-proxy's rules see the answers too, and a
    pod reaches a Service whose pod is on the same node without the br_netfilter kernel module."""
    return as_text(
        {
            "cniVersion": "0.4.0",
            "name": node.namespace,  # names the files below /var/lib/cni/results, by which `down` finds them
            "plugins": [
                {
                    "type": "ptp",
                    "ipMasq": False,
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": node.pod_cidr}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                        "dataDir": str(folder),
                    },
                },
                {"type": "portmap", "capabilities": {"portMappings": True}},
            ],
        }
    )


def kubelet(node: Node, folder: Path, containerd_socket: Path, authority: Path) -> str:
    """The kubelet's configuration. Lease and status times belong to the controller manager's grace period, see control_plane."""
    return as_text(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node.address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{node.namespace}",  # else two kubelets would both own /kubepods
            "clusterDNS": [addresses.FIRST.address],
            "clusterDomain": addresses.DOMAIN,
            "containerRuntimeEndpoint": f"unix://{containerd_socket}",
            # The host's disk is shared with builds and caches: its fill level must not evict pods or remove images.
            "evictionHard": {
                "memory.available": "100Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
                "imagefs.inodesFree": "1%",
            },
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "failCgroupV1": False,
            "failSwapOn": False,
            "healthzBindAddress": node.address,
            "maxPods": 200,
            "nodeLeaseDurationSeconds": 8,
            "nodeStatusUpdateFrequency": "2s",
            "nodeStatusReportFrequency": "1m",
            "oomScoreAdj": 0,  # see restrict_oom_score_adj
            "podLogsDir": str(folder / "pod-logs"),
            "registryPullQPS": 0,
            "resolvConf": str(folder / "resolv.conf"),
            "serializeImagePulls": False,
            "staticPodPath": "",
            "volumePluginDir": str(folder / "volume-plugins"),
        }
    )
