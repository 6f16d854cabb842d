from pathlib import Path

from localcluster import peer_documents, toolchain
from localcluster.peer_documents import JOBSET, TRAINER


def test_every_webhook_is_called_on_loopback_at_the_port_that_its_manager_is_told():
    by_port = {"20443": TRAINER, "20444": JOBSET}
    called = set()
    for document in peer_documents.webhooks("127.0.0.1", "authority"):
        for hook in document["webhooks"]:
            address = hook["clientConfig"]["url"].removeprefix("https://127.0.0.1:")
            port, _, path = address.partition("/")
            configuration = peer_documents.configuration(by_port[port], "127.0.0.1", Path("/state"))
            assert configuration["webhook"]["port"] == int(port)
            assert hook["clientConfig"]["caBundle"] == "authority"
            called.add(path)
    assert len(called) == 8  # four of JobSet, one of Trainer that fills in, three that check


def test_pods_of_nobody_but_jobset_are_looked_at():
    hooks = [hook for document in peer_documents.webhooks("127.0.0.1", "") for hook in document["webhooks"]]
    of_pods = [hook for hook in hooks if hook["rules"][0]["resources"] == ["pods"]]
    assert [hook["objectSelector"] for hook in of_pods] == [peer_documents.LABELLED_PODS] * 2


def test_jobset_has_the_version_that_trainer_asks_for():
    wanted = [
        line.split()[1]
        for build in toolchain.PEERS
        for line in (build.folder / "go.mod").read_text().replace("require ", "").splitlines()
        if line.strip().startswith("sigs.k8s.io/jobset ")
    ]
    assert len(wanted) == 2
    assert len(set(wanted)) == 1
