"""Every writable place behaves alike, on a real server each: what one store does, all do."""

import pytest

from finetune_trainer import errors
from finetune_trainer.storage import Store
from trainer_places import opened, secret

KEY = "folder/ü a#?%20+.txt"


@pytest.fixture(params=["pvc", "file", "s3", "gs", "az"])
def store(request, layout) -> Store:
    """An empty place of each scheme."""
    if request.param == "file":
        return opened(layout, f"file://{layout.scratch}/somewhere")
    if request.param == "pvc":
        (layout.claims / "c").mkdir(parents=True)
        return opened(layout, "pvc://c/some/prefix")
    server = request.getfixturevalue(request.param)
    server.bucket("bucket")
    keys = secret(layout, "keys", **server.keys)
    place = opened(layout, f"{request.param}://bucket/{layout.scratch.parent.name}", keys)
    place.delete_below("")
    return place


def test_what_is_put_is_listed_read_and_deleted(store, tmp_path):
    store.put(KEY, b"hello")
    (tmp_path / "big").write_bytes(bytes(range(256)) * 80_000)
    store.put("big", tmp_path / "big")

    store.get("big", tmp_path / "again/big")

    assert [(item.key, item.size) for item in store.list()] == [("big", 20_480_000), (KEY, 5)]
    assert [item.key for item in store.list("folder")] == [KEY]
    assert (tmp_path / "again/big").read_bytes() == (tmp_path / "big").read_bytes()
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["big"]
    assert store.read_if_there(KEY) == b"hello"
    assert store.delete_below("") == 2
    assert store.list() == []


def test_an_empty_object_is_one(store, tmp_path):
    store.put("empty", b"")

    store.get("empty", tmp_path / "empty")

    assert store.head("empty").size == 0
    assert (tmp_path / "empty").read_bytes() == b""


def test_what_is_put_again_replaces_what_lay_there(store):
    store.put("a", b"one")
    before = store.head("a").tag

    store.put("a", b"other")

    assert store.read("a") == b"other"
    assert store.head("a").tag != before
    assert store.list()[0].tag == store.head("a").tag


def test_an_object_is_made_only_where_there_is_none(store):
    first, second = store.put_if_absent("epoch", b"1"), store.put_if_absent("epoch", b"2")

    assert (first, second, store.read("epoch")) == (True, False, b"1")


def test_what_is_not_there_is_none_or_told_by_its_uri(store, tmp_path):
    assert store.head("nothing") is None
    assert store.read_if_there("nothing") is None
    assert store.list("nothing") == []
    store.delete("nothing")
    for call in (lambda: store.read("nothing"), lambda: store.get("nothing", tmp_path / "x")):
        with pytest.raises(errors.DataFileNotFound, match=r"spec\.dataset\.train\[0\]\.uri: .*nothing"):
            call()
    assert not (tmp_path / "x").exists()


def test_a_download_tells_of_its_bytes(store, tmp_path):
    store.put("a", bytes(300_000))
    told: list[int] = []

    store.get("a", tmp_path / "a", told.append)

    assert sum(told) == 300_000


def test_names_that_begin_alike_are_no_folder(store):
    store.put("step-1/a", b"")
    store.put("step-10/a", b"")

    assert [item.key for item in store.list("step-1")] == ["step-1/a"]
