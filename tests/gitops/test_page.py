"""docs/gitops.md: its files are ours, and its ways to run again do what it says."""

import hashlib
import os
import re
import subprocess

import pytest
import yaml

import gitops_health
import gitops_states
import page_blocks
from finetune_operator.api import job
from localcluster import places, toolchain
from localcluster.steps import Steps

ROOT = gitops_states.ARGO.parents[2]
PAGE = (ROOT / "docs" / "gitops.md").read_text()
FILES = page_blocks.files(PAGE)


@pytest.fixture(scope="module")
def kubectl():
    (build,) = [one for one in toolchain.BUILDS if one.binary == "kubectl"]
    return toolchain.ensure_built(places.places(os.environ), build, Steps())


@pytest.fixture
def folder(tmp_path):
    """The page's folder of one job."""
    for path, text in FILES.items():
        if path.startswith("fine-tuning/"):
            (tmp_path / path.removeprefix("fine-tuning/")).write_text(text)
    return tmp_path


def built(kubectl, folder):
    """What kustomize makes of it, after the page's own command."""
    (hashed,) = [one for one in page_blocks.commands(PAGE) if "nameSuffix" in one]
    subprocess.run(["bash", "-euc", hashed], cwd=folder, check=True)
    done = subprocess.run(
        [kubectl, "kustomize", "."], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.mark.parametrize("path", [path for path in FILES if path.startswith("gitops/")])
def test_what_the_page_quotes_is_what_lies_there(path):
    lying = (ROOT / path).read_text()
    assert yaml.safe_load(FILES[path]) == yaml.safe_load(lying)


def test_the_page_shows_every_file_that_it_speaks_of():
    assert {"gitops/flux/kustomization.yaml", "gitops/flux/accepted.yaml", "application.yaml"} <= set(FILES)
    for path in re.findall(r"(?:tests/)?gitops/[\w./-]+", PAGE):
        assert (ROOT / path.rstrip(".")).exists(), path


def test_argo_cds_differences_are_fields_of_a_job():
    (ignored,) = yaml.safe_load(FILES["application.yaml"])["spec"]["ignoreDifferences"]
    assert (ignored["group"], ignored["kind"]) == ("finetune.dev", "FineTuneJob")
    schema = yaml.safe_load((ROOT / "crds" / "finetune.dev_finetunejobs.yaml").read_text())
    for pointer in ignored["jsonPointers"]:
        node = schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for word in pointer.strip("/").split("/"):
            node = node["properties"][word]
        assert node["type"] == "boolean"


def test_a_changed_file_is_another_job_with_an_output_of_its_own(kubectl, folder):
    file = folder / "finetunejob.yaml"
    first = built(kubectl, folder)
    suffix = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    assert first["metadata"]["name"] == f"support-bot-{suffix}"
    assert first["spec"]["output"]["uri"] == f"s3://team-a/adapters/support-bot-{suffix}"
    job.FineTuneJobSpec.model_validate(first["spec"])
    assert built(kubectl, folder) == first
    file.write_text(file.read_text().replace("Qwen3-0.6B", "Qwen3-1.7B"))
    second = built(kubectl, folder)
    assert second["metadata"]["name"] != first["metadata"]["name"]
    assert second["spec"]["output"]["uri"].endswith(second["metadata"]["name"])


def test_the_table_says_what_the_tools_say():
    """Each row of the page is a recording, or several."""
    rows = {
        "just applied": ["unseen"],
        "waits, is prepared": [
            "pending",
            "preparing",
            "queued",
            "starting",
            "running",
            "retrying",
            "interrupted",
        ],
        "suspended": ["suspended"],
        "published": ["published", "already-published"],
        "failed for good": ["refused", "bad-data", "gate-not-met", "no-attempt-left"],
        "edited": ["resume-unseen"],
    }
    said = gitops_health.said(gitops_states.recorded())
    for title, names in rows.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {title}")]
        cells = [re.match(r"\w+", cell.strip())[0] for cell in row.split("|")[2:5]]
        for name in names:
            assert [said[name][tool]["status"] for tool in ("kstatus", "argo", "done")] == cells, (
                title,
                name,
            )
