"""The CRDs are the models: files, defaults, bounds."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from finetune_operator.api import job, profile, schema, status
from finetune_operator.api.base import JOB_NAME, RULES

ROOT = Path(__file__).parents[2]
SPEC_CLIENT_LIMIT = (
    256 * 1024
)  # `kubectl apply` writes the whole object into one annotation of at most this size
MINIMAL = {
    "model": {"uri": "hf://org/name"},
    "dataset": {"train": [{"uri": "s3://bucket/data.jsonl"}]},
    "output": {"uri": "s3://bucket/out"},
}
KINDS = [schema.finetunejobs(), schema.finetuneprofiles()]


def root_schema(crd: dict[str, Any]) -> dict[str, Any]:
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from nodes(node[key], f"{path}[]")


def ours(crd: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """All schemas below spec and status."""
    parts = root_schema(crd)["properties"]
    return [found for part in ("spec", "status") if part in parts for found in nodes(parts[part], f".{part}")]


EVERY_NODE = [(crd["spec"]["names"]["kind"] + path, node) for crd in KINDS for path, node in ours(crd)]


def with_defaults(value: Any, node: dict[str, Any]) -> Any:
    """What the API server makes of `value`: its defaulting, in five lines."""
    if isinstance(value, list):
        return [with_defaults(item, node["items"]) for item in value]
    fields = node.get("properties")
    if not isinstance(value, dict) or fields is None:
        return value
    full = {name: child["default"] for name, child in fields.items() if "default" in child} | value
    return {name: with_defaults(inner, fields[name]) for name, inner in full.items()}


@pytest.mark.parametrize("folder", ["crds", "charts/finetune-operator/files/crds"])
def test_committed_crds_are_what_the_models_say(folder):
    committed = {path.name: path.read_text() for path in (ROOT / folder).glob("*.yaml")}
    assert committed == schema.rendered(), "run `make crds`"


def test_the_script_writes_every_directory_it_is_given(tmp_path):
    schema.main([str(tmp_path / "a"), str(tmp_path / "b")])
    for folder in ("a", "b"):
        assert {path.name: path.read_text() for path in (tmp_path / folder).iterdir()} == schema.rendered()


@pytest.mark.parametrize("crd", KINDS, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_a_crd_fits_into_the_annotation_of_a_client_side_apply(crd):
    assert len(json.dumps(crd)) < SPEC_CLIENT_LIMIT / 2


def bounded(node: dict[str, Any]) -> bool:
    match node.get("type"):
        case None:
            return node["x-kubernetes-int-or-string"]
        case "string":
            return bool({"maxLength", "enum"} & set(node))
        case "array":
            return "maxItems" in node
        case "object":
            return bool({"maxProperties", "properties"} & set(node))
        case kind:
            return kind in ("integer", "number", "boolean")


def is_structural(node: dict[str, Any]) -> bool:
    return (
        not {"$ref", "$defs", "title", "const", "oneOf", "allOf", "prefixItems"} & set(node)
        and ("anyOf" not in node or node["x-kubernetes-int-or-string"])
        and node.get("default", "") is not None
        and all(node.get(f"exclusive{bound}", True) is True for bound in ("Minimum", "Maximum"))
    )


def test_everything_has_a_type_and_a_bound():
    assert [path for path, node in EVERY_NODE if not bounded(node)] == []


def test_a_list_of_prompts_that_is_too_long_is_refused():
    def said(prompts: int) -> dict[str, Any]:
        return {**MINIMAL, "evaluation": {"samples": ["?"] * prompts}}

    assert len(job.FineTuneJobSpec.model_validate(said(64)).evaluation.samples) == 64
    with pytest.raises(pydantic.ValidationError, match="at most 64 items"):
        job.FineTuneJobSpec.model_validate(said(65))


def test_only_what_a_structural_schema_may_hold():
    assert [path for path, node in EVERY_NODE if not is_structural(node)] == []


@pytest.mark.parametrize("crd", KINDS, ids=lambda crd: crd["spec"]["names"]["kind"])
def test_every_field_has_a_description_on_one_line(crd):
    silent = [
        f"{path}.{name}"
        for path, node in nodes(root_schema(crd))
        for name, child in node.get("properties", {}).items()
        if not f"{path}.{name}".startswith(".metadata")
        if not child.get("description") or "\n" in child["description"]
    ]
    assert silent == []


def test_the_api_server_fills_in_what_the_models_would():
    spec = root_schema(schema.finetunejobs())["properties"]["spec"]
    parsed = job.FineTuneJobSpec.model_validate(MINIMAL).wire()
    parsed["dataset"]["train"] = MINIMAL["dataset"]["train"]  # lists stay as they were written
    assert with_defaults(MINIMAL, spec) == parsed


def test_nothing_is_filled_in_inside_of_lists():
    """Else `kubectl apply` would find a change each time."""
    assert [path for path, node in EVERY_NODE if "[]" in path and "default" in node] == []


def test_the_api_server_fills_in_an_empty_profile_as_the_models_would():
    spec = root_schema(schema.finetuneprofiles())["properties"]["spec"]
    assert with_defaults({}, spec) == profile.FineTuneProfileSpec().wire()


def test_object_defaults_leave_the_rest_to_their_fields():
    spec = root_schema(schema.finetunejobs())["properties"]["spec"]["properties"]
    assert {name: node["default"] for name, node in spec.items() if "default" in node} == {
        "method": "SFT",
        "tuning": {},
        "training": {},
        "evaluation": {},
        "checkpoint": {},
        "resources": {},
        "scheduling": {},
        "runPolicy": {},
    }


def test_nobody_takes_a_job_that_no_one_has_looked_at_for_done():
    assert root_schema(schema.finetunejobs())["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_every_status_field_of_the_model_is_in_the_crd():
    fields = root_schema(schema.finetunejobs())["properties"]["status"]["properties"]
    assert set(fields) == {
        field.alias or name for name, field in status.FineTuneJobStatus.model_fields.items()
    }


def test_every_part_of_the_spec_has_a_rule_for_change():
    spec = root_schema(schema.finetunejobs())["properties"]["spec"]
    guarded = {rule["fieldPath"].split(".")[1] for rule in spec["x-kubernetes-validations"]}
    of_their_own = {name for name, node in spec["properties"].items() if job.FIXED in node.get(RULES, [])}
    assert guarded | of_their_own == set(spec["properties"])
    assert not guarded & of_their_own


def test_a_rule_on_the_field_itself_stands_only_where_the_field_is_always_there():
    """A field that comes or goes has no old or no new self, and the API server would skip the rule."""
    spec = root_schema(schema.finetunejobs())["properties"]["spec"]
    fixed = job.fixed_fields(job.FineTuneJobSpec)
    assert {"model", "dataset", "output", "method", "training"} <= set(fixed)
    for name in fixed:
        assert name in spec["required"] or "default" in spec["properties"][name]


def test_rules_of_a_part_with_an_empty_default_hold_for_the_empty_part():
    """The API server tries them on the default before those of the fields are filled in, and refuses the whole definition."""
    for crd in KINDS:
        for path, node in nodes(root_schema(crd)):
            for cel in (rule["rule"] for rule in node.get(RULES, []) if node.get("default") == {}):
                for name in re.findall(r"(?<!has\()\bself\.(\w+)", cel):
                    assert f"has(self.{name})" in cel, f"{path}: {cel}"


def test_a_name_of_the_longest_kind_passes_the_rule_for_references():
    reference = dict(nodes(root_schema(schema.finetunejobs())))[".spec.checkpoint.resumeFrom.jobRef.name"]
    assert reference["maxLength"] == job.MAX_NAME_LENGTH
    (rule,) = reference[RULES]
    assert rule["rule"] == f"self.matches('{JOB_NAME}')"
    assert re.match(JOB_NAME, "a" * job.MAX_NAME_LENGTH)


@pytest.mark.parametrize("given", [2, "2"])
def test_a_quantity_may_be_written_as_a_number(given):
    spec = job.FineTuneJobSpec.model_validate(MINIMAL | {"resources": {"cpu": given}})
    assert spec.resources.cpu == "2"


def test_columns():
    names = {crd["spec"]["names"]["kind"]: crd["spec"]["names"] for crd in KINDS}
    assert names["FineTuneJob"]["shortNames"] == ["ftj"]
    assert names["FineTuneProfile"]["shortNames"] == ["ftp"]
    assert all(
        "finetune" in kind["categories"] and "all" not in kind["categories"] for kind in names.values()
    )
    columns = KINDS[0]["spec"]["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns if not column.get("priority")] == [
        "STATE",
        "PROGRESS",
        "LOSS",
        "ETA",
        "AGE",
    ]


def test_yaml_files_hold_no_anchors():
    assert all("&id" not in text and yaml.safe_load(text) for text in schema.rendered().values())
