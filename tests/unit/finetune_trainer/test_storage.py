import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

import hub_standin
import trainer_s3
from finetune_trainer import errors, storage
from finetune_trainer.config import Hub
from finetune_trainer.storage import Role
from trainer_places import FIELD, opened, secret
from web_server import answering


@pytest.mark.parametrize("call", ["list", "head"])
@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, errors.AccessDenied, "the Secret 'bad'"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, errors.AccessDenied, "the Secret 'bad'"),
        (
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            errors.EndpointUnreachable,
            r"127\.0\.0\.1:9 .*connection refused",
        ),
    ],
)
def test_bad_keys_and_endpoints_are_told_at_the_first_call(s3, layout, change, error, says, call):  # noqa: PLR0917 - fixtures and columns of the table
    s3.bucket("bucket")
    place = opened(layout, "s3://bucket/x", secret(layout, "bad", **{**s3.keys, **change}))

    with pytest.raises(error, match=says) as told:
        getattr(place, call)("y")

    assert FIELD in str(told.value)


@pytest.mark.slow  # waits
def test_a_host_that_does_not_exist_is_told(layout):
    keys = {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_ENDPOINT_URL": "http://no-such-host.invalid",
    }

    with pytest.raises(errors.EndpointUnreachable, match="no such host"):
        opened(layout, "s3://bucket/x", secret(layout, "keys", **keys)).list()


@pytest.mark.parametrize("call", ["list", "head"])
def test_a_missing_bucket_is_told_from_a_missing_object(s3, layout, call):
    place = opened(layout, "s3://no-such-bucket/x", secret(layout, "keys", **s3.keys))

    with pytest.raises(errors.BucketNotFound, match="'no-such-bucket'"):
        getattr(place, call)("y")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, b"<Error><Code>SlowDown</Code></Error>", errors.StorageUnavailable),
        (403, b"<Error><Code>AccessDenied</Code></Error>", errors.AccessDenied),
        (400, b"<Error><Code>ExpiredToken</Code></Error>", errors.AccessDenied),
        (501, b"<Error><Code>NotImplemented</Code></Error>", errors.StorageUnavailable),
    ],
)
def test_what_a_server_answers_decides_who_must_act(layout, status, body, error, monkeypatch):
    monkeypatch.setitem(storage.bucket.RETRY, "max_retries", 0)
    with answering(status, body) as endpoint:
        keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": endpoint}
        place = opened(layout, "s3://bucket/x", secret(layout, "keys", **keys))

        with pytest.raises(error, match=r"s3://bucket/x/y"):
            place.put("y", b"")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({}, "the Secret 'keys' named for s3://b/x does not exist"),
        (
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""},
            "lacks AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
    ],
)
def test_a_secret_that_is_missing_or_incomplete_is_waited_for(layout, keys, says):
    secret(layout, "keys", **keys)

    with pytest.raises(errors.SecretMissing, match=says):
        opened(layout, "s3://b/x", "keys")


@pytest.mark.parametrize(
    ("uri", "error", "says"),
    [
        ("ftp://host/x", errors.InvalidRun, "known are s3://"),
        ("s3://", errors.InvalidRun, "no bucket"),
        ("pvc://claim/../../etc/shadow", errors.InvalidRun, r"\.\."),
        ("hf://name", errors.InvalidRun, "hf://org/name"),
        ("pvc://claim/x", errors.DataFileNotFound, "pvc://claim/x"),
        ("configmap://rows/a.jsonl", errors.ConfigMapMissing, "ConfigMap 'rows'"),
    ],
)
def test_a_place_that_cannot_be_is_told(layout, uri, error, says):
    with pytest.raises(error, match=says):
        opened(layout, uri)


def test_a_config_map_is_read_as_the_kubelet_mounts_it(layout):
    folder = layout.configmaps / "rows"
    (folder / "..2026").mkdir(parents=True)
    (folder / "..2026/a.jsonl").write_text("{}")
    (folder / "..data").symlink_to("..2026")
    (folder / "a.jsonl").symlink_to("..data/a.jsonl")

    assert opened(layout, "configmap://rows/a.jsonl").read("") == b"{}"
    assert [item.key for item in opened(layout, "configmap://rows").list()] == ["a.jsonl"]


def test_a_claim_is_listed_written_and_emptied_by_several_at_once(layout):
    """Two runs of one job, one of them taken for lost, write into one claim: each sees the other's files come and go."""
    (layout.claims / "shared").mkdir(parents=True)
    place = opened(layout, "pvc://shared/work")
    place.put("kept", b"k")

    def come_and_go(name: str) -> None:
        for number in range(200):
            place.put(f"epochs/{number}/{name}", b"x")
            place.delete(f"epochs/{number}/{name}")

    with ThreadPoolExecutor() as pool:
        writing = [pool.submit(come_and_go, name) for name in ("a", "b", "c")]
        while not all(one.done() for one in writing):
            assert "kept" in {item.key for item in place.list()}

    assert [one.result() for one in writing] == [None] * 3
    assert [item.key for item in place.list()] == ["kept"]


def test_a_folder_of_a_claim_that_may_not_be_read_is_told_but_for_the_volumes_own(layout, monkeypatch):
    for folder in ("lost+found", "private"):
        (layout.claims / "shared" / folder).mkdir(parents=True)
    (layout.claims / "shared/a.jsonl").write_bytes(b"{}")
    scandir, closed = os.scandir, "lost+found"

    def refusing(path):
        if Path(path).name == closed:
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [item.key for item in opened(layout, "pvc://shared").list()] == ["a.jsonl"]

    closed = "private"
    with pytest.raises(errors.AccessDenied, match="user 65532"):
        opened(layout, "pvc://shared").list()
    with pytest.raises(errors.AccessDenied, match="give yourself access to it, or name another place"):
        opened(layout, f"file://{layout.claims}/shared").list()


def test_a_file_of_the_web_is_fetched_with_its_query(layout, tmp_path):
    with answering(200, b"rows") as address:
        place = opened(layout, f"{address}/a.jsonl?signature=x")

        place.get("", tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == b"rows"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, errors.DataFileNotFound),
        (403, errors.AccessDenied),
        (400, errors.DataFileNotFound),
        (502, errors.StorageUnavailable),
    ],
)
def test_what_the_web_refuses_is_told_without_the_signature(layout, status, error):
    with answering(status) as address, pytest.raises(error) as told:
        opened(layout, f"{address}/a.jsonl?signature=hidden").head("")

    assert "a.jsonl" in str(told.value)
    assert "hidden" not in str(told.value)


@pytest.mark.slow  # waits
def test_an_address_that_does_not_answer_is_told(layout):
    with pytest.raises(errors.EndpointUnreachable, match="refused"):
        opened(layout, f"http://127.0.0.1:{trainer_s3.free_port()}/a.jsonl").head("")


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "data/train.jsonl").write_text("row")
    return folder


def test_a_repository_of_the_hub_is_pinned_listed_and_fetched(layout, repository, tmp_path):
    with hub_standin.serving(hub_standin.Hub({"org/name": repository})) as endpoint:
        place = opened(layout, "hf://org/name", hub=Hub(endpoint=endpoint))

        place.get("data/train.jsonl", tmp_path / "got")

        assert place.commit == hub_standin.COMMIT
        assert [item.key for item in place.list()] == ["config.json", "data/train.jsonl"]
        assert place.read("config.json") == b"{}"
    assert (tmp_path / "got").read_text() == "row"


def test_a_dataset_of_the_hub_may_be_one_file(layout, repository):
    with hub_standin.serving(hub_standin.Hub({"org/name": repository})) as endpoint:
        place = opened(layout, "hf://datasets/org/name@main/data/train.jsonl", hub=Hub(endpoint=endpoint))

        assert place.head("").size == 3
        assert place.read("") == b"row"


@pytest.mark.parametrize(
    ("uri", "token", "error", "says"),
    [
        ("hf://org/nothing", None, errors.ModelNotFound, "hf://org/nothing"),
        ("hf://org/name@v9", None, errors.ModelNotFound, "no revision 'v9'"),
        ("hf://org/gated", None, errors.GatedModel, "no token"),
        ("hf://org/gated", "wrong", errors.GatedModel, "the Secret 'token'"),
    ],
)
def test_what_the_hub_refuses_is_told(layout, repository, uri, token, error, says):  # noqa: PLR0917 - fixtures and columns of the table
    hub = hub_standin.Hub(
        {"org/name": repository, "org/gated": repository}, gated=frozenset({"org/gated"}), token="right"
    )
    name = secret(layout, "token", HF_TOKEN=token) if token else None
    with hub_standin.serving(hub) as endpoint, pytest.raises(error, match=says):
        opened(layout, uri, name, role=Role.MODEL, hub=Hub(endpoint=endpoint)).list()


def test_a_gated_repository_opens_with_its_token(layout, repository):
    hub = hub_standin.Hub({"org/gated": repository}, gated=frozenset({"org/gated"}), token="right")
    with hub_standin.serving(hub) as endpoint:
        place = opened(
            layout, "hf://org/gated", secret(layout, "token", HF_TOKEN="right"), hub=Hub(endpoint=endpoint)
        )

        assert len(place.list()) == 2


def test_a_hub_that_does_not_answer_is_told_soon(layout):
    endpoint = f"http://127.0.0.1:{trainer_s3.free_port()}"

    with pytest.raises(errors.EndpointUnreachable, match=endpoint):
        opened(layout, "hf://org/name", hub=Hub(endpoint=endpoint)).list()


def test_offline_is_told_before_anything_is_asked(layout):
    with pytest.raises(errors.ModelNotFound, match="offline"):
        opened(layout, "hf://org/name", role=Role.MODEL, hub=Hub(offline=True))


def test_a_token_lying_about_is_not_used(layout, repository, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "right")
    hub = hub_standin.Hub({"org/gated": repository}, gated=frozenset({"org/gated"}), token="right")
    with hub_standin.serving(hub) as endpoint, pytest.raises(errors.GatedModel):
        opened(layout, "hf://org/gated", hub=Hub(endpoint=endpoint)).list()


def answered(status: int) -> HfHubHTTPError:
    return HfHubHTTPError("x", response=SimpleNamespace(status_code=status, headers={}, request=None))


@pytest.mark.parametrize(
    ("cause", "error", "says"),
    [
        (ConnectionRefusedError("refused"), errors.EndpointUnreachable, "no answer from the Hub"),
        (answered(503), errors.StorageUnavailable, "HTTP 503"),
        (answered(404), errors.ModelNotFound, "there is nothing at"),
        (ValueError("odd"), errors.EndpointUnreachable, "no answer from the Hub"),
        (None, errors.EndpointUnreachable, "no answer from the Hub"),
    ],
)
def test_a_failed_question_for_a_file_does_not_mean_that_the_file_is_missing(  # noqa: PLR0917 - fixtures and columns of the table
    layout, tmp_path, monkeypatch, cause, error, says
):
    place = opened(layout, "hf://org/name", role=Role.MODEL)

    def failed(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("cannot find it in the cache") from cause

    monkeypatch.setitem(vars(place), "_api", SimpleNamespace(hf_hub_download=failed))
    monkeypatch.setitem(vars(place), "_info", SimpleNamespace(sha=hub_standin.COMMIT, siblings=[]))

    with pytest.raises(error, match=says) as told:
        place.get("config.json", tmp_path / "got")

    assert FIELD in str(told.value)


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the claim 'c' is full"),
        (errno.EDQUOT, "the claim 'c' is full"),
        (errno.EIO, "does not answer as it should"),
        (errno.ETIMEDOUT, "does not answer as it should"),
        (errno.ESTALE, "does not answer as it should"),
    ],
)
@pytest.mark.parametrize("write", ["put", "put_if_absent"])
def test_a_claim_that_is_full_or_ill_is_tried_again_later(layout, monkeypatch, number, says, write):
    (layout.claims / "c").mkdir(parents=True)
    place = opened(layout, "pvc://c/some/prefix", role=Role.OUTPUT)

    def failed(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pathlib.Path.write_bytes", failed)

    with pytest.raises(errors.StorageUnavailable, match=says) as told:
        getattr(place, write)("a", b"one")

    assert FIELD in str(told.value)
    assert "pvc://c/some/prefix/a" in str(told.value)
    assert place.list() == []
