import json
import tomllib
from pathlib import Path

import pytest

from localcluster import certificates, documents
from localcluster.addresses import Node


def test_a_kubeconfig_names_one_context_and_uses_it():
    config = json.loads(
        documents.kubeconfig("https://h:1", Path("/ca.crt"), Path("/me.crt"), Path("/me.key"))
    )
    assert config["current-context"] == config["contexts"][0]["name"]
    assert config["clusters"][0]["cluster"] == {"server": "https://h:1", "certificate-authority": "/ca.crt"}
    assert config["users"][0]["user"] == {"client-certificate": "/me.crt", "client-key": "/me.key"}


def test_containerd_keeps_to_its_folders_and_pulls_our_pause_container():
    text = documents.containerd(
        Path("/content"), Path("/run/x"), Path("/cni"), Path("/hosts"), "registry.test/pause:1"
    )
    config = tomllib.loads(text)
    cri = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert (config["root"], config["state"]) == ("/content", "/run/x")
    assert config["grpc"]["address"] == "/run/x/containerd.sock"
    assert cri["sandbox_image"] == "registry.test/pause:1"
    assert cri["restrict_oom_score_adj"] is True
    assert cri["registry"]["config_path"] == "/hosts"
    assert cri["containerd"]["runtimes"]["runc"]["options"]["Root"] == "/run/x/runc"


def test_the_registry_has_a_meaning_without_tls():
    hosts = tomllib.loads(documents.registry_hosts("198.18.0.2:5000"))
    assert hosts["server"] == "http://198.18.0.2:5000"
    assert hosts["host"]["http://198.18.0.2:5000"]["capabilities"] == ["pull", "resolve"]


def test_two_kubelets_share_no_cgroup_and_no_address():
    configs = [
        json.loads(documents.kubelet(Node(number), Path("/state"), Path("/run/c.sock"), Path("/ca.crt")))
        for number in (1, 2)
    ]
    for key in ("cgroupRoot", "address", "healthzBindAddress"):
        assert configs[0][key] != configs[1][key]
    assert configs[0]["clusterDNS"] == configs[1]["clusterDNS"] == ["198.18.0.2"]


def test_a_kubelet_reports_well_within_the_grace_period_of_eight_seconds():
    config = json.loads(documents.kubelet(Node(1), Path("/s"), Path("/c.sock"), Path("/ca.crt")))
    assert config["nodeLeaseDurationSeconds"] == 8  # renewed every quarter of it
    assert config["nodeStatusUpdateFrequency"] == "2s"


def test_each_node_gives_its_pods_addresses_of_its_own():
    networks = [json.loads(documents.pod_network(Node(number), Path("/a"))) for number in (1, 2)]
    subnets = [network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"] for network in networks]
    assert subnets == ["198.19.0.0/24", "198.19.1.0/24"]
    assert networks[0]["name"] != networks[1]["name"]


def test_names_outside_the_cluster_do_not_exist_and_do_not_wait():
    text = documents.corefile("198.18.0.2", Path("/dns.kubeconfig"))
    inside, outside = text.split("\n. {")
    assert "kubernetes cluster.local" in inside
    assert "template" not in inside
    assert "rcode NXDOMAIN" in outside


@pytest.mark.parametrize(
    ("hosts", "extension"),
    [
        (("198.18.0.2",), "subjectAltName=IP:198.18.0.2"),
        (("127.0.0.1", "kubernetes.default.svc"), "subjectAltName=IP:127.0.0.1,DNS:kubernetes.default.svc"),
    ],
)
def test_addresses_and_names_are_told_apart_in_certificates(hosts, extension):
    assert certificates.alternative_names(hosts) == extension
