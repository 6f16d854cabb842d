"""The API server's own answer to what the operator may do, against docs/rbac.md: that, and nothing else."""

import pytest

import policy_ground
import rbac_table
import real_cluster

NARROW = "narrow-system"
LEASE = ("coordination.k8s.io", "leases")


def of_ours(kube, who, namespace):
    """Without what every ServiceAccount may do."""
    stranger = f"system:serviceaccount:{namespace}:somebody"
    return policy_ground.rights(kube, who, namespace) - policy_ground.rights(kube, stranger, namespace)


def told(*, cluster=False, jobs=False):
    """Rows of the page, of what belongs to the cluster, or to namespaces."""
    return {
        (*right, "")
        for right in rbac_table.rights()
        if right[:2] != LEASE and (cluster if right[1] == rbac_table.IN_THE_CLUSTER else jobs)
    }


def leases(name):
    """The operator's own one; a name cannot be asked for where there is none yet."""
    return {
        (*right, "" if right[2] == "create" else name) for right in rbac_table.rights() if right[:2] == LEASE
    }


@pytest.fixture(scope="module")
def narrow(kube):
    """A second release, for one namespace alone."""
    for name in ("served", "unserved"):
        kube.kubectl("create", "namespace", name)
    values = {"scope": "namespaces", "namespaces": ["served"], "crds": {"install": False}}
    policy_ground.install(
        kube, {**values, "policies": {"requester": False, "profiles": False}}, release=NARROW
    )
    yield f"system:serviceaccount:{NARROW}:{NARROW}-finetune-operator"
    kube.helm("uninstall", NARROW, "-n", NARROW)


def test_in_any_namespace(kube, namespace):
    assert of_ours(kube, policy_ground.OPERATOR, namespace) == told(cluster=True, jobs=True)


def test_in_its_own_namespace_it_leads_besides(kube):
    found = of_ours(kube, policy_ground.OPERATOR, real_cluster.RELEASE_NAMESPACE)
    assert found == told(cluster=True, jobs=True) | leases("finetune-operator")


def test_where_it_serves_one_namespace_it_may_nothing_in_others(kube, narrow):
    assert of_ours(kube, narrow, "served") == told(cluster=True, jobs=True)
    assert of_ours(kube, narrow, "unserved") == told(cluster=True)
    assert of_ours(kube, narrow, NARROW) == told(cluster=True) | leases(f"{NARROW}-finetune-operator")
