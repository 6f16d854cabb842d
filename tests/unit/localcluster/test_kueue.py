import json

from localcluster import kueue, toolchain


def test_kueue_manages_the_jobs_of_labelled_namespaces_and_nobody_elses():
    values = kueue.chart_values("registry.test/kueue:abc")
    configuration = json.loads(values["managerConfig"]["controllerManagerConfigYaml"])
    assert values["controllerManager"]["manager"]["image"] == {
        "repository": "registry.test/kueue",
        "tag": "abc",
    }
    assert configuration["managedJobsNamespaceSelector"] == {"matchLabels": {"kueue-managed": "true"}}
    assert configuration["manageJobsWithoutQueueName"] is False


def test_the_binary_is_of_the_version_that_its_module_pins():
    pinned = (toolchain.KUEUE.folder / "go.mod").read_text()
    assert f"sigs.k8s.io/kueue {toolchain.KUEUE_VERSION}" in pinned
