"""The chart against everything it copies from: the models, the settings, the table of rights, its own documentation.

What needs helm to be seen is in tests/e2e/test_chart.py.
"""

import itertools
import json
import pathlib
import re
from typing import Any

import jsonschema
import pytest
import yaml

import chart_values
import rbac_table
from finetune_operator import settings
from finetune_operator.api import profile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "finetune-operator"
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}


def valid(**changed: Any) -> bool:
    return jsonschema.Draft7Validator(SCHEMA).is_valid({**VALUES, **changed})


def rules_of_the_chart() -> set[tuple[str, str, str]]:
    """(API group, resource, verb) of every rule for the operator in the templates."""
    blocks = re.findall(
        r'define "finetune\.(?:rules|clusterRules)" -}}\n(.*?)\n{{- end', TEMPLATES["_helpers.tpl"], re.DOTALL
    )
    leader = re.findall(
        r"( +- apiGroups: \[coordination.*?verbs: \[[^]]*\])", TEMPLATES["rbac.yaml"], re.DOTALL
    )
    rules = [rule for block in blocks for rule in yaml.safe_load(block)]
    rules += [yaml.safe_load(re.sub(r"\n *resourceNames.*", "", rule))[0] for rule in leader]
    return {
        triple
        for rule in rules
        for triple in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def test_the_operators_rights_are_those_of_the_docs():
    assert rules_of_the_chart() == rbac_table.rights()


def test_the_operator_may_not_do_what_would_make_it_dangerous():
    granted = {(resource, verb) for _, resource, verb in rules_of_the_chart()}
    assert not {resource for resource, _ in granted} & {
        "secrets",
        "pods/exec",
        "pods/attach",
        "roles",
        "clusterroles",
        "*",
    }
    assert not {verb for _, verb in granted} & {"*", "escalate", "bind", "impersonate"}
    assert ("pods", "create") not in granted
    assert {verb for resource, verb in granted if resource == "finetunejobs"} == {"get", "list", "watch"}


def test_every_value_is_documented():
    told = {path for path, _ in chart_values.documented((CHART / "values.yaml").read_text())}
    silent = [
        leaf
        for leaf in chart_values.leaves(VALUES)
        if not any(f"{leaf}.".startswith(f"{path}.") for path in told)
    ]
    assert silent == []


def test_the_readme_holds_todays_table_of_values():
    readme = (CHART / "README.md").read_text()
    wanted = chart_values.readme_with_table(readme, (CHART / "values.yaml").read_text())
    assert readme == wanted, "run `python tests/support/chart_values.py`"


def test_the_chart_accepts_its_own_values():
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)


@pytest.mark.parametrize(
    "changed",
    [
        {"imagee": {}},
        {"image": {"tag": "latest"}},
        {"scope": "namespaces"},
        {"namespaces": ["a"]},
        {"replicas": 2, "leaderElection": {"enabled": False}},
        {"settings": {"PATH": "/"}},
    ],
    ids=str,
)
def test_the_chart_refuses(changed):
    assert not valid(**changed)


@pytest.mark.parametrize(
    "changed",
    [
        {"scope": "namespaces", "namespaces": ["a"]},
        {"replicas": 2},
        {"global": {"anything": 1}},
        {"settings": {"FINETUNE_START_GRACE": "5"}},
    ],
    ids=str,
)
def test_the_chart_accepts(changed):
    assert valid(**changed)


def objects(node: dict[str, Any], path: str) -> list[str]:
    """Paths of objects with named properties that let unknown ones through."""
    open_here = [path] if "properties" in node and node.get("additionalProperties") is not False else []
    return open_here + [
        found
        for name, child in node.get("properties", {}).items()
        for found in objects(child, f"{path}.{name}")
    ]


def test_nothing_unknown_is_accepted_anywhere():
    assert objects({key: value for key, value in SCHEMA.items() if key != "allOf"}, "") == []


def test_every_variable_of_the_deployment_is_a_setting():
    named = set(re.findall(r"name: (FINETUNE_[A-Z_]+)", TEMPLATES["deployment.yaml"]))
    known = {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}
    assert named <= known
    assert "FINETUNE_TRAINER_IMAGE" in named


def test_the_default_profile_is_a_profile():
    profile.FineTuneProfileSpec.model_validate({"default": True} | VALUES["defaultProfile"]["spec"])


def test_no_hooks_and_nothing_random():
    text = "".join(TEMPLATES.values())
    assert not re.search(r"helm\.sh/hook|randAlpha|genCA|genSelfSigned|uuidv4|\bnow\b|\blookup\b", text)
