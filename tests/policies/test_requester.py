"""Who may create and delete FineTuneJobs: whoever may do so by hand, with pods."""

import json

import pytest

import real_cluster
import stories

NO_PODS = "and FineTuneJobs create pods; ask for the role edit there"
NO_ACCOUNT = "spec.serviceAccountName: ada may not use the ServiceAccount trainer"
PODS_AND_JOBS = ("--verb=get,create", "--resource=finetunejobs.finetune.dev", "--resource=pods")
"""Kubernetes' own role edit would not do: it may impersonate every ServiceAccount of the namespace."""
JOBS_ALONE = ("--verb=get,list,create,patch,delete", "--resource=finetunejobs.finetune.dev")


class Person:
    """Ada, with some rights in one namespace."""

    def __init__(self, kube, namespace):
        self.kube, self.namespace = kube, namespace

    def may(self, role, *rules):
        """A role of her own, or one that is there."""
        if rules:
            self.kube.kubectl("create", "role", role, *rules, "-n", self.namespace)
        bound = f"--role={role}" if rules else f"--clusterrole={role}"
        self.kube.kubectl("create", "rolebinding", f"ada-{role}", bound, "--user=ada", "-n", self.namespace)
        return self

    def run(self, *words, stdin=None):
        return self.kube.run("kubectl", *words, "--as=ada", "-n", self.namespace, stdin=stdin)

    def applies(self, **spec):
        """What `kubectl apply` says to her."""
        manifest = real_cluster.finetunejob(self.namespace, **spec)
        done = self.run("apply", "-f", "-", stdin=json.dumps(manifest))
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()

    def comes_to(self, sentence, **spec):
        """A new policy, or right, is in force after a moment."""
        return stories.wait_until(
            lambda: self.applies(**spec), lambda said: sentence in said, what=sentence, seconds=30
        )


@pytest.fixture
def ada(kube, namespace):
    return Person(kube, namespace)


def test_the_policies_have_no_fault_that_the_api_server_knows_of(kube):
    def checked():
        return json.loads(kube.kubectl("get", "validatingadmissionpolicies", "-o", "json"))["items"]

    def done(found):
        return len(found) == 3 and all("typeChecking" in one.get("status", {}) for one in found)

    found = stories.wait_until(checked, done, what="all policies to be type-checked", seconds=60)
    assert [one["status"]["typeChecking"].get("expressionWarnings", []) for one in found] == [[]] * 3


def test_who_may_not_create_pods_may_not_create_jobs(ada):
    said = ada.may("jobs-alone", *JOBS_ALONE).comes_to(NO_PODS)
    assert "ada may not create pods in namespace" in said
    assert "Forbidden" in said


def test_who_may_edit_the_namespace_may(ada):
    assert ada.may("edit").comes_to("created")


def test_pods_and_jobs_by_name_are_enough(ada):
    assert ada.may("both", *PODS_AND_JOBS).comes_to("created")


def test_pods_elsewhere_are_not_enough(ada, kube):
    with kube.fresh_namespace() as elsewhere:
        Person(kube, elsewhere).may("edit")
        assert ada.may("jobs-alone", *JOBS_ALONE).comes_to(NO_PODS)


def test_a_service_account_is_used_by_those_who_may_impersonate_it(ada):
    ada.may("both", *PODS_AND_JOBS)
    assert ada.comes_to(NO_ACCOUNT, serviceAccountName="trainer")
    ada.may("trainer", "--verb=impersonate", "--resource=serviceaccounts", "--resource-name=trainer")
    assert ada.comes_to("created", serviceAccountName="trainer")


def test_another_account_is_not(ada):
    ada.may("both", *PODS_AND_JOBS).may(
        "other", "--verb=impersonate", "--resource=serviceaccounts", "--resource-name=other"
    )
    assert ada.comes_to(NO_ACCOUNT, serviceAccountName="trainer")


def test_the_account_that_every_pod_gets_needs_no_right(ada):
    assert ada.may("both", *PODS_AND_JOBS).comes_to("created", serviceAccountName="default")


def test_who_may_not_create_may_still_pause(ada, kube, namespace):
    """The policy asks at creation alone: a job that is there cannot become another one."""
    kube.apply(real_cluster.finetunejob(namespace))
    ada.may("jobs-alone", *JOBS_ALONE)
    patch = ("patch", "ftj", "support-bot", "--type=merge", "-p", '{"spec":{"runPolicy":{"suspend":false}}}')
    done = stories.wait_until(
        lambda: ada.run(*patch), lambda done: done.returncode == 0, what="the pause to end", seconds=30
    )
    assert "patched" in done.stdout


@pytest.mark.parametrize(
    ("listed", "profile", "said"),
    [
        ("small, shared", "small", "created"),
        ("small, shared", "shared", "created"),
        ("small, shared", "large", "may use small, shared, not large; name one of those"),
        ("small, shared", None, "created"),
        (None, "large", "created"),
    ],
)
def test_a_namespace_may_use_the_profiles_that_its_annotation_lists(listed, profile, said, ada):
    if listed is not None:
        ada.kube.kubectl("annotate", "namespace", ada.namespace, f"finetune.dev/profiles={listed}")
    named = {"profile": profile} if profile else {}
    assert ada.may("edit").comes_to(said, **named)


def in_state(kube, namespace, state):
    kube.apply(real_cluster.finetunejob(namespace))
    status = {"status": {"state": state, "observedGeneration": 1}}
    kube.kubectl(
        "patch", "ftj", "support-bot", "-n", namespace, "--subresource=status", "--type=merge",
        "-p", json.dumps(status),
    )  # fmt: skip


def test_a_job_that_trains_is_not_deleted_by_mistake(kube, namespace):
    in_state(kube, namespace, "Running")
    done = kube.run("kubectl", "delete", "ftj", "support-bot", "-n", namespace)
    assert "suspend it first (kubectl finetune suspend, or spec.runPolicy.suspend: true)" in done.stderr


@pytest.mark.parametrize("state", ["Pending", "Queued", "Suspended", "Succeeded", "Failed"])
def test_any_other_is_deleted(state, kube, namespace):
    in_state(kube, namespace, state)
    assert "deleted" in kube.kubectl("delete", "ftj", "support-bot", "-n", namespace)


def test_one_that_nobody_has_looked_at_is_deleted(kube, namespace):
    kube.apply(real_cluster.finetunejob(namespace))
    assert "deleted" in kube.kubectl("delete", "ftj", "support-bot", "-n", namespace)


def test_a_namespace_takes_its_jobs_along(kube):
    kube.kubectl("create", "namespace", "leaving")
    in_state(kube, "leaving", "Running")
    kube.kubectl("delete", "namespace", "leaving", "--timeout=60s")
    assert kube.run("kubectl", "get", "namespace", "leaving").returncode != 0
