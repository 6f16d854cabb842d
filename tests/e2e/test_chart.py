"""The chart as helm sees it and as a real API server takes it."""

import json
import subprocess

import pytest
import yaml

import real_cluster
import stories

OPERATOR = f"system:serviceaccount:{real_cluster.RELEASE_NAMESPACE}:finetune-operator"
IN_NAMESPACES = ("--set", "scope=namespaces", "--set", "namespaces={team-a,team-b}")
KNOWN = ("--api-versions", "finetune.dev/v1alpha1/FineTuneProfile", "--set", "defaultProfile.create=true")


@pytest.fixture(scope="module")
def api():
    return real_cluster.api_server()


def rendered(api, *words):
    text = api.helm(
        "template", "finetune-operator", str(real_cluster.CHART), "-n", real_cluster.RELEASE_NAMESPACE, *words
    )
    return [document for document in yaml.safe_load_all(text) if document]


def of_kind(documents, kind):
    return [document for document in documents if document["kind"] == kind]


def test_helm_lints_it(api):
    assert "0 chart(s) failed" in api.helm("lint", "--strict", str(real_cluster.CHART))


def test_rendered_twice_it_is_the_same(api):
    assert rendered(api) == rendered(api)


@pytest.mark.parametrize("words", [(), IN_NAMESPACES, KNOWN], ids=["cluster", "namespaces", "profile"])
def test_the_api_server_takes_all_of_it(api, words):
    documents = rendered(api, *words, "--set", "crds.install=false")
    here = [
        one for one in documents if one["metadata"].get("namespace") in (None, real_cluster.RELEASE_NAMESPACE)
    ]
    words = (
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--field-manager=test",
        "-f",
        "-",
    )
    api.kubectl(*words, stdin=real_cluster.listed(here))


def test_a_namespace_that_enforces_the_restricted_standard_takes_the_pod(api):
    (deployment,) = of_kind(rendered(api), "Deployment")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with api.fresh_namespace(**labels) as place:
        metadata = {"name": "operator", "namespace": place}
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "finetune-operator", "namespace": place},
        }
        api.apply(account)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": deployment["spec"]["template"]["spec"],
        }
        api.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


def test_crds_are_those_of_the_repository_and_stay(api):
    for found in of_kind(rendered(api), "CustomResourceDefinition"):
        assert found["metadata"].pop("annotations")["helm.sh/resource-policy"] == "keep"
        file = f"finetune.dev_{found['spec']['names']['plural']}.yaml"
        assert found == yaml.safe_load((real_cluster.ROOT / "crds" / file).read_text())


def test_crds_go_with_the_release_only_if_asked(api):
    crds = of_kind(rendered(api, "--set", "crds.keep=false"), "CustomResourceDefinition")
    assert [crd["metadata"]["annotations"].get("helm.sh/resource-policy") for crd in crds] == [None, None]
    assert of_kind(rendered(api, "--set", "crds.install=false"), "CustomResourceDefinition") == []


def test_with_namespaces_only_profiles_are_read_in_the_whole_cluster(api):
    documents = rendered(api, *IN_NAMESPACES)
    ours = [role for role in of_kind(documents, "ClusterRole") if "view" not in role["metadata"]["name"]]
    rules = [
        rule for role in ours if not role["metadata"]["name"].endswith("-edit") for rule in role["rules"]
    ]
    assert rules == [
        {"apiGroups": ["finetune.dev"], "resources": ["finetuneprofiles"], "verbs": ["list", "watch"]}
    ]
    roles = {(role["metadata"]["namespace"], role["metadata"]["name"]) for role in of_kind(documents, "Role")}
    assert roles == {
        ("team-a", "finetune-operator"),
        ("team-b", "finetune-operator"),
        (real_cluster.RELEASE_NAMESPACE, "finetune-operator-leader"),
    }
    (deployment,) = of_kind(documents, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert {"name": "FINETUNE_NAMESPACES", "value": "team-a,team-b"} in container["env"]


def test_a_profile_waits_until_its_kind_is_there(api):
    assert of_kind(rendered(api, "--set", "defaultProfile.create=true"), "FineTuneProfile") == []
    (profile,) = of_kind(rendered(api, *KNOWN), "FineTuneProfile")
    assert profile["spec"]["default"] is True


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "imagee.reference=x"), "additional properties 'imagee' not allowed"),
        (("--set", "scope=namespaces"), "/namespaces"),
        (("--set", "log.level=LOUD"), "/log/level"),
    ],
)
def test_helm_refuses_unknown_values(api, words, sentence):
    done = api.run("helm", "template", "x", str(real_cluster.CHART), *words)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_notes_say_what_comes_next(api):
    install = (
        "install",
        "finetune-operator-notes",
        str(real_cluster.CHART),
        "-n",
        real_cluster.RELEASE_NAMESPACE,
    )
    notes = api.helm(*install, "--dry-run=client", "--set", "crds.install=false")
    assert "rollout status deployment/finetune-operator" in notes
    assert "apply -f finetunejob.yaml" in notes
    assert "get ftj --watch" in notes


ALLOWED = [
    ("watch", "finetunejobs.finetune.dev"),
    ("patch", "finetunejobs.finetune.dev/status"),
    ("list", "finetuneprofiles.finetune.dev"),
    ("create", "jobs.batch"),
    ("delete", "jobs.batch"),
    ("create", "configmaps"),
    ("watch", "pods"),
    ("create", "events"),
]
DENIED = [
    ("get", "secrets"),
    ("list", "secrets"),
    ("create", "pods"),
    ("delete", "pods"),
    ("create", "pods/exec"),
    ("get", "pods/log"),
    ("update", "finetunejobs.finetune.dev"),
    ("patch", "finetunejobs.finetune.dev"),
    ("delete", "finetunejobs.finetune.dev"),
    ("create", "finetuneprofiles.finetune.dev"),
    ("list", "configmaps"),
    ("update", "configmaps"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("impersonate", "serviceaccounts"),
    ("create", "leases.coordination.k8s.io"),
    ("get", "nodes"),
]


def can(api, verb, resource, *words):
    resource, _, subresource = resource.partition("/")
    more = ["--subresource", subresource] if subresource else []
    done: subprocess.CompletedProcess[str] = api.run(
        "kubectl", "auth", "can-i", verb, resource, *more, "--as", OPERATOR, *words
    )
    return done.stdout.strip() == "yes"


def test_what_the_operator_may_do_in_any_namespace(api):
    assert [pair for pair in ALLOWED if not can(api, *pair, "-n", "default")] == []


def test_what_the_operator_may_not_do_anywhere(api):
    assert [pair for pair in DENIED if can(api, *pair, "-n", "default")] == []


def test_leases_are_its_own_only(api):
    words = ("auth", "can-i", "update", "--as", OPERATOR, "-n", real_cluster.RELEASE_NAMESPACE)
    leases = [f"leases.coordination.k8s.io/{name}" for name in ("finetune-operator", "other")]
    answers = [api.run("kubectl", *words, lease).stdout.strip() for lease in leases]
    assert answers == ["yes", "no"]


@pytest.mark.parametrize(
    ("role", "verb", "answer"), [("view", "get", "yes"), ("view", "create", "no"), ("edit", "create", "yes")]
)
def test_people_hold_for_jobs_what_they_hold_in_the_namespace(api, role, verb, answer):
    with api.fresh_namespace() as place:
        api.kubectl("create", "rolebinding", "person", f"--clusterrole={role}", "--user=ada", "-n", place)

        def may():
            """Ask again: a controller fills in the roles of people, a moment after ours are there."""
            done = api.run(
                "kubectl", "auth", "can-i", verb, "finetunejobs.finetune.dev", "--as=ada", "-n", place
            )
            return done.stdout.strip()

        stories.wait_until(may, lambda said: said == answer, what=f"{role} to {verb}: {answer}", seconds=15)
