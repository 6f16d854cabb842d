import os
from pathlib import Path

from localcluster import processes

OURS = (Path("/srv/cluster"), Path("/run/cluster"))


def test_a_path_below_a_folder_counts_and_a_namesake_does_not():
    assert processes.mentions(["etcd", "--data-dir=/srv/cluster/etcd"], OURS)
    assert processes.mentions(["containerd-shim", "-address", "/run/cluster/node1/containerd.sock"], OURS)
    assert not processes.mentions(["etcd", "--data-dir=/srv/cluster-kwok/etcd"], OURS)
    assert not processes.mentions(["etcd"], OURS)


def test_this_process_is_found_by_the_network_it_is_in():
    assert os.getpid() in processes.inside(Path("/proc/self/ns/net"))
