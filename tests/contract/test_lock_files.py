"""One lock file, and slices of it beside the Dockerfiles: the same versions with the same hashes, and no address of a registry."""

import pathlib
import re
import tomllib

import pytest

import lock_files

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("operator", "trainer-image")
LM_EVAL = "lm-eval-image/requirements.lock"
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


@pytest.mark.parametrize("file", ["requirements.lock", "docs/site/requirements.lock", LM_EVAL, *SLICES])
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


def test_the_image_of_lm_eval_adds_the_version_of_the_extra_and_changes_nothing_of_the_trainers():
    project = tomllib.loads((ROOT / "trainer-image/pyproject.toml").read_text())
    added = pinned(LM_EVAL)
    assert {tuple(pin.split("==")) for pin in project["project"]["optional-dependencies"]["lm-eval"]} <= set(
        added
    )
    installed = {pin.name for pin in lock_files.pins("trainer-image/requirements.lock") if pin.in_image}
    assert not installed & {name for name, _ in added}
    assert {entry for entry in added if WHOLE.get(entry, added[entry]) != added[entry]} == set()


def test_what_would_fetch_a_metric_as_a_script_is_not_installed():
    """lm-eval asks the package evaluate for metrics that it does not know."""
    assert not {"evaluate"} & {name for lock in ("requirements.lock", LM_EVAL) for name, _ in pinned(lock)}


@pytest.mark.parametrize("folder", [*FOLDERS, "lm-eval-image"])
def test_an_image_installs_nothing_without_hashes(folder):
    text = (ROOT / folder / "Dockerfile").read_text()
    installs = re.findall(r"pip (?:--python \S+ )?install(.*?)(?= &&|\n\n|\nFROM|\Z)", text, re.DOTALL)
    assert installs
    assert all("--require-hashes" in one or "--no-deps" in one for one in installs)


def test_the_cli_asks_for_what_the_whole_pins():
    project = tomllib.loads((ROOT / "cli" / "pyproject.toml").read_text())
    direct = {tuple(pin.split("==")) for pin in project["project"]["dependencies"]}
    assert direct - set(WHOLE) == {("finetune-operator", "0.1.0")}
