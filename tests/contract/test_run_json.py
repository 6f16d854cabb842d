"""run.json: what the operator writes is what the trainer reads, field by field."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest

import contract_fields
import contract_runs
from finetune_operator.api.base import SecretRef
from finetune_operator.api.job import FineTuneJobSpec
from finetune_operator.plan import config_map, run_config
from finetune_operator.plan.origins import Origin, Origins
from finetune_trainer import config, errors

SHARED = (
    "method",
    "model",
    "dataset",
    "tuning",
    "training",
    "evaluation",
    "checkpoint",
    "output",
    "tracking",
)


def shared(model: type[pydantic.BaseModel]) -> dict[str, contract_fields.Field]:
    """Those that stand in run.json as they stand in the spec."""
    found = contract_fields.fields(model)
    return {
        path: field
        for path, field in found.items()
        if path.split(".")[1:] and re.split(r"[.\[]", path)[1] in SHARED
    }


OPERATOR, TRAINER = shared(FineTuneJobSpec), shared(config.Run)


def said(document: Any) -> Any:
    """Without what is null: absent and null are the same, except in what the author wrote freely."""
    if isinstance(document, dict):
        return {
            key: value if key == "extra" else said(value)
            for key, value in document.items()
            if value is not None
        }
    return [said(item) for item in document] if isinstance(document, list) else document


def paths(document: Any, path: str = "") -> Iterator[str]:
    yield path
    for name, value in document.items() if isinstance(document, dict) else ():
        if name != "extra":
            yield from paths(value, f"{path}.{name}")
        else:
            yield f"{path}.extra"
    for item in document if isinstance(document, list) else ():
        yield from paths(item, f"{path}[]")


def test_both_sides_know_the_same_fields():
    assert set(OPERATOR) == set(TRAINER)


@pytest.mark.parametrize("fact", ["types", "values", "required"])
def test_a_field_is_the_same_on_both_sides(fact):
    assert {path: getattr(facts, fact) for path, facts in OPERATOR.items()} == {
        path: getattr(facts, fact) for path, facts in TRAINER.items()
    }


def test_defaults_are_the_same_on_both_sides():
    different = {
        path: (facts.default, TRAINER[path].default)
        for path, facts in OPERATOR.items()
        if facts.default != TRAINER[path].default
    }
    assert different == {}


def test_what_the_api_server_lets_through_the_trainer_takes():
    """Its bounds are the same, or wider."""
    narrower = [
        (path, key)
        for path, facts in TRAINER.items()
        for key, bound in facts.bounds.items()
        if not wide_enough(key, bound, OPERATOR[path].bounds.get(key))
    ]
    assert narrower == []


def wide_enough(key: str, bound: float, there: float | None) -> bool:
    if there is None:
        return (
            key == "minimum" and bound <= 1
        )  # of one branch of int-or-string, which CEL bounds on the other side
    return bound <= there if key in contract_fields.LOWER else bound >= there


@pytest.mark.parametrize(
    ("spec", "profile"),
    [
        (contract_runs.SHORTEST, None),
        (contract_runs.SHORTEST | {"resources": {"gpusPerNode": 0}}, None),
        (contract_runs.FULLEST, contract_runs.PROFILE),
    ],
    ids=["shortest", "cpu", "fullest"],
)
def test_what_the_operator_writes_the_trainer_reads_whole(spec, profile):
    document = contract_runs.run(spec, profile)
    assert said(config.parse(contract_runs.text(document)).wire()) == said(document)


def test_what_a_job_goes_on_from_crosses_the_border():
    secret = SecretRef(name="bucket")
    found = Origins(
        adapter=Origin("f", "s3://team-a/adapters/first", secret),
        work=Origin("f", "s3://team-a/.finetune/uid", None),
    )
    document = contract_runs.run(contract_runs.SHORTEST, origins=found)
    read = config.parse(contract_runs.text(document))
    assert read.origins is not None
    assert read.origins.wire() == document["origins"]
    assert set(document["origins"]) == set(config.Origins.model_fields)


def test_the_fullest_job_says_everything():
    everything = {path for path in OPERATOR if path}
    assert {
        path for path in paths(contract_runs.run(contract_runs.FULLEST)) if path in OPERATOR
    } == everything


def test_every_static_default_is_written_out():
    """A trainer image of another version must not fill in another value."""
    document = contract_runs.run(contract_runs.SHORTEST)
    written = set(paths(document))
    expected = {path for path, facts in OPERATOR.items() if facts.default is not None}
    inside_of_absent = {
        path for path in expected if any(path.startswith(f"{parent}.") for parent in absent(document))
    }
    in_empty_lists = {
        path for path in expected if "[]" in path and path.rpartition("[]")[0] + "[]" not in written
    }
    assert expected - inside_of_absent - in_empty_lists - written == set()


def absent(document: dict[str, Any]) -> set[str]:
    return {
        path
        for path, facts in OPERATOR.items()
        if facts.types == ("object",) and path not in set(paths(document))
    }


def test_a_field_of_nobody_is_refused():
    document = contract_runs.run(contract_runs.SHORTEST) | {"colour": "red"}
    with pytest.raises(errors.InvalidRun, match="colour"):
        config.parse(contract_runs.text(document))


def test_another_version_is_refused():
    document = contract_runs.run(contract_runs.SHORTEST) | {"version": 2}
    with pytest.raises(errors.InvalidRun, match="version"):
        config.parse(contract_runs.text(document))


def test_both_sides_speak_the_version_of_the_page():
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "contract.md").read_text()
    assert f"Version of everything here: **{run_config.VERSION}**" in page
    assert config.VERSION == run_config.VERSION


def test_what_the_operator_may_write_the_trainer_may_read():
    assert config_map.MAX_RUN_BYTES <= config.MAX_BYTES
