"""One lock file, and slices of it beside the Dockerfiles: the same versions with the same hashes, and no address of a registry."""

import pathlib
import re
import tomllib

import pytest

import lock_files

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("operator", "trainer-image")
SLICES = [f"{folder}/{name}.lock" for folder in FOLDERS for name in ("requirements", "build")]


def pinned(file):
    """(name, version) to hashes, for each entry."""
    return {(one.name, one.version): one.hashes for one in lock_files.pins(file)}


WHOLE = pinned("requirements.lock")


@pytest.mark.parametrize("file", SLICES)
def test_a_slice_says_what_the_whole_says(file):
    assert {entry: hashes for entry, hashes in pinned(file).items() if WHOLE.get(entry) != hashes} == {}, (
        "run `make lock`"
    )


@pytest.mark.parametrize("file", ["requirements.lock", "docs/site/requirements.lock", *SLICES])
def test_every_line_is_a_pin_with_hashes(file):
    """No address, no file, no option: whoever installs it asks the index of their own choice, and gets the same."""
    text = (ROOT / file).read_text()
    other = [
        line
        for line in text.splitlines()
        if not re.fullmatch(r"[a-z0-9.-]+==\S+(?: ; .*)? \\| +--hash=sha256:[0-9a-f]{64}(?: \\)?", line)
    ]
    assert other == []
    assert all(pinned(file).values())


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_slice_holds_the_direct_dependencies_as_the_project_pins_them(folder):
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    direct = {tuple(pin.split("==")) for pin in project["project"]["dependencies"]}
    assert direct <= set(pinned(f"{folder}/requirements.lock"))
    build = {tuple(pin.split("==")) for pin in project["build-system"]["requires"]}
    assert build <= set(pinned(f"{folder}/build.lock"))


def test_the_operator_carries_no_training_stack():
    assert not {name for name, _ in pinned("operator/requirements.lock")} & {"torch", "transformers", "numpy"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_an_image_installs_nothing_without_hashes(folder):
    text = (ROOT / folder / "Dockerfile").read_text()
    installs = re.findall(r"pip install(.*?)(?= &&|\n\n|\nFROM|\Z)", text, re.DOTALL)
    assert installs
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_the_cli_asks_for_what_the_whole_pins():
    project = tomllib.loads((ROOT / "cli" / "pyproject.toml").read_text())
    direct = {tuple(pin.split("==")) for pin in project["project"]["dependencies"]}
    assert direct - set(WHOLE) == {("finetune-operator", "0.1.0")}
