"""`output.hub`: a copy in one commit; a Hub that refuses or hangs is told in a sentence, and costs nothing in the bucket."""

import json
from pathlib import Path

import pytest
from huggingface_hub.utils import _http as hubs_http

import hub_receiver
import trainer_places
import trainer_runs
from finetune_trainer import config, errors, hub_copy
from finetune_trainer.layout import Layout
from finetune_trainer.storage import hub_writer
from hub_receiver import Hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=")  # the Hub's library about its own client

REASONS = {
    401: "AccessDenied",
    403: "AccessDenied",
    404: "AccessDenied",
    500: "StorageUnavailable",
    503: "StorageUnavailable",
    0: "EndpointUnreachable",
}
"""What the Hub answers, 0 being nothing at all, and what the author reads."""
MANIFEST = b'{"files": {"README.md": {}, "adapter_model.safetensors": {}}}'


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def endpoint(hub):
    with hub_receiver.serving(hub) as address:
        yield address


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    folder = tmp_path / "artefact"
    (folder / "merged").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlibrary_name: peft\n---\n\n# tiny\n")
    (folder / "adapter_model.safetensors").write_bytes(b"weights " * 1000)
    (folder / "merged/config.json").write_text("{}")
    return folder


@pytest.fixture
def pod(layout: Layout, artefact: Path) -> tuple[Layout, Path]:
    return layout, artefact


@pytest.fixture
def told(layout: Layout, endpoint):
    """run.json with a Hub, and the token's Secret."""
    trainer_places.secret(layout, "hub", HF_TOKEN="hf_secret")

    def run(**changes) -> config.Run:
        hub = {"repo": "org/tiny", "credentialsSecretRef": {"name": "hub"}, **changes}
        return trainer_runs.run(output={"hub": hub}, hub={"endpoint": endpoint, "offline": False})

    return run


@pytest.fixture
def hasty(monkeypatch):
    """The library's own patience with a Hub that fails is switched off."""
    monkeypatch.setattr(hubs_http.time, "sleep", lambda _: None)
    monkeypatch.setattr(hub_writer, "SILENCE", 0.3)


def sent(run: config.Run, layout: Layout, artefact: Path, manifest: bytes = MANIFEST) -> dict[str, str]:
    names = [path.relative_to(artefact).as_posix() for path in artefact.rglob("*") if path.is_file()]
    return hub_copy.send(run, layout, artefact, names, manifest)


def test_the_copy_is_the_result_in_one_commit(hub, told, layout, artefact):
    answer = sent(told(), layout, artefact)
    assert "reason" not in answer, answer
    assert hub.repositories["org/tiny"] == {
        "README.md": (artefact / "README.md").read_bytes(),
        "adapter_model.safetensors": b"weights " * 1000,
        "merged/config.json": b"{}",
        "finetune-manifest.json": MANIFEST,
    }
    assert hub.commits == ["team-a/tiny (6f1c9a52-7a53-4f0e-9d55-0c3d5a8b7e10)"]
    assert answer == {"repo": "org/tiny", "revision": hub.head}
    assert hub_copy.sentence(answer) == f"; a copy is at hf://org/tiny@{hub.head}"


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_private_unless_the_spec_says_otherwise(hub, told, layout, private):
    hub_copy.probe(told(private=private), layout)
    assert hub.private == {"org/tiny": private}


def test_an_earlier_result_is_replaced_and_what_people_put_there_stays(hub, told, layout, artefact):
    earlier = {"files": {"README.md": {}, "merges.txt": {}, "never-sent.txt": {}}}
    hub.repositories["org/tiny"] = {
        "README.md": b"old", "merges.txt": b"old", "LICENSE": b"a person's",
        "finetune-manifest.json": json.dumps(earlier).encode(),
    }  # fmt: skip
    assert "reason" not in sent(told(), layout, artefact)
    there = hub.repositories["org/tiny"]
    assert there.keys() == {
        "README.md", "adapter_model.safetensors", "merged/config.json", "finetune-manifest.json", "LICENSE",
    }  # fmt: skip
    assert there["finetune-manifest.json"] == MANIFEST


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("where", ["/repos/create", "/preupload/", "/lfs-store/", "/commit/"])
@pytest.mark.parametrize("status", REASONS)
def test_a_hub_that_refuses_or_hangs_is_told_and_has_nothing_of_it(hub, told, pod, where, status):
    hub.refusing[where] = status
    answer = sent(told(), *pod)
    assert (answer["repo"], answer["reason"]) == ("org/tiny", REASONS[status])
    assert answer["message"].startswith("spec.output.hub.repo: ")
    assert "hf://org/tiny" in answer["message"]
    assert status == 0 or f"HTTP {status}" in answer["message"]
    assert "hf_secret" not in answer["message"]
    assert not hub.repositories.get("org/tiny")
    assert hub_copy.sentence(answer) == f"; there is no copy on the Hub: {answer['message']}"


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("status", "error"),
    [(403, errors.AccessDenied), (503, errors.StorageUnavailable), (0, errors.EndpointUnreachable)],
)
def test_prepare_hears_of_it_before_anything_is_computed(hub, told, layout, status, error):
    hub.refusing["/repos/create"] = status
    with pytest.raises(error, match=r"^spec\.output\.hub\.repo: "):
        hub_copy.probe(told(), layout)


def test_a_token_that_is_not_the_hubs_is_told_without_it(told, layout):
    trainer_places.secret(layout, "hub", HF_TOKEN="hf_wrong")
    with pytest.raises(
        errors.AccessDenied, match=r"Invalid credentials.*the token of the Secret 'hub'"
    ) as told_so:
        hub_copy.probe(told(), layout)
    assert "hf_wrong" not in str(told_so.value)


def test_without_a_secret_nobody_elses_token_is_taken(hub, told, layout, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    with pytest.raises(errors.AccessDenied, match="with no token"):
        hub_copy.probe(told(credentialsSecretRef=None), layout)


def test_a_secret_without_the_token_is_told(told, layout):
    trainer_places.secret(layout, "other", WANDB_API_KEY="x")
    with pytest.raises(errors.SecretMissing, match="HF_TOKEN"):
        hub_copy.probe(told(credentialsSecretRef={"name": "other"}), layout)


def test_a_name_that_the_hub_does_not_allow_is_the_authors(told, layout):
    with pytest.raises(errors.InvalidRun, match=r"^spec\.output\.hub\.repo: "):
        hub_copy.probe(told(repo="org/a--b"), layout)


def test_offline_there_is_no_hub(layout):
    run = trainer_runs.run(output={"hub": {"repo": "org/tiny"}}, hub={"offline": True})
    with pytest.raises(errors.SettingsDoNotFit, match="the profile says offline"):
        hub_copy.probe(run, layout)


def test_who_asks_for_no_copy_asks_no_hub(hub, layout, artefact):
    hub_copy.probe(trainer_runs.run(), layout)
    assert sent(trainer_runs.run(), layout, artefact) == {}
    assert hub.asked == []
