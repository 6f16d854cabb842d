"""The CustomResourceDefinitions, made from the models: `python -m finetune_operator.api.schema DIRECTORY...` writes them.

pydantic speaks JSON Schema 2020-12, the API server *structural* OpenAPI v3. What differs is translated here: references are
inlined, "or null" is an absent field, an exclusive bound is a flag beside the bound, and an object's default says no more than what
differs from the defaults of its own fields, so that those apply.
"""

import sys
from pathlib import Path
from typing import Any

import pydantic
import yaml

from finetune_operator.api import job, profile, status
from finetune_operator.api.base import RULES, Rule

GROUP = "finetune.dev"
VERSION = "v1alpha1"
Schema = dict[str, Any]

HEADER = "# Made from operator/src/finetune_operator/api by `make crds`. Do not edit.\n"
UNWATCHED: Schema = {"observedGeneration": -1}
"""The status of a job that nobody has looked at: without it kstatus would call the job done (design.md, "Status")."""

METADATA: Schema = {"type": "object", "properties": {"name": {"type": "string"}}}
"""The API server allows no more of it here. The name is there so that a rule can blame it."""

ORDER = ("description", "type", "format", "enum", "default")
"""What a reader looks for first; other keys follow by name, nested schemas last."""
NESTED = ("items", "additionalProperties", "required", "properties")
DROPPED = ("title", "$defs", "discriminator")


def structural(model: type[pydantic.BaseModel]) -> Schema:
    """The structural OpenAPI v3 schema of `model`."""
    whole = model.model_json_schema(by_alias=True, mode="validation")
    return _node(whole, whole.get("$defs", {}))


def _node(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """One schema and all below it, translated."""
    flat = _exclusive_bounds(_flattened(node, definitions))
    made = {key: value for key, value in flat.items() if key not in DROPPED}
    if "properties" in made:
        made["properties"] = {name: _node(child, definitions) for name, child in made["properties"].items()}
    if "items" in made:
        made["items"] = _undefaulted(_node(made["items"], definitions))
    if isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _node(made["additionalProperties"], definitions)
    else:
        made.pop("additionalProperties", None)  # pruning drops what is unknown, strict decoding refuses it
    return _ordered(_worded(_defaulted(made)))


def _flattened(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """`node` without references, without "or null" and without a union: what stands beside them wins."""
    flat = dict(node)
    while "$ref" in flat or "anyOf" in flat or "const" in flat:
        if "$ref" in flat:
            flat = {**definitions[flat.pop("$ref").rpartition("/")[2]], **flat}
        elif "const" in flat:
            flat["enum"] = [flat.pop("const")]
        elif flat.get("x-kubernetes-int-or-string"):
            flat.pop("anyOf")
        else:
            (only,) = (branch for branch in flat.pop("anyOf") if branch != {"type": "null"})
            flat = {**only, **flat}
    return flat


def _exclusive_bounds(node: Schema) -> Schema:
    """OpenAPI v3.0 says `minimum: 0, exclusiveMinimum: true` where JSON Schema says `exclusiveMinimum: 0`."""
    made = dict(node)
    for bound in ("minimum", "maximum"):
        exclusive = f"exclusive{bound.capitalize()}"
        if exclusive in made:
            made |= {bound: made[exclusive], exclusive: True}
    return made


def _defaulted(node: Schema) -> Schema:
    """`node` with a default only where there is one, and in an object only what its fields do not default to themselves."""
    made = dict(node)
    if "default" in made:
        default = _beyond(made.pop("default"), made)
        if default is not None:
            made["default"] = default
    return made


def _beyond(value: Any, node: Schema) -> Any:
    """What of the default `value` the fields of `node` do not say themselves."""
    fields = node.get("properties")
    if not isinstance(value, dict) or fields is None:
        return value
    said = {name: _beyond(inner, fields[name]) for name, inner in value.items() if inner is not None}
    return {name: inner for name, inner in said.items() if inner != fields[name].get("default")}


def _undefaulted(node: Schema) -> Schema:
    """`node` without defaults.

    `kubectl apply` replaces a list whole, and would see a change in every item that the API server has completed: inside of
    lists the models' defaults hold, which fill in the rest when an object is parsed.
    """
    made = {key: value for key, value in node.items() if key != "default"}
    if "properties" in made:
        made["properties"] = {name: _undefaulted(child) for name, child in made["properties"].items()}
    return made


def _worded(node: Schema) -> Schema:
    """`node` with its description on one line, and with what controller tools expect beside an int-or-string."""
    made = dict(node)
    if "description" in made:
        made["description"] = " ".join(made["description"].split())
    if made.get("x-kubernetes-int-or-string"):
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return made


def _ordered(node: Schema) -> Schema:
    first = [key for key in ORDER if key in node]
    last = [key for key in NESTED if key in node]
    between = sorted(key for key in node if key not in ORDER and key not in NESTED)
    return {key: node[key] for key in (*first, *between, *last)}


def _guarded(node: Schema, more: Rule) -> Schema:
    """`node` with one rule more."""
    return _ordered({**node, RULES: [*node.get(RULES, []), more]})


def _root(kind: str, description: str, **parts: Schema) -> Schema:
    """The schema of a whole object."""
    text = {"type": "string"}
    return {
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"Always {GROUP}/{VERSION}.", **text},
            "kind": {"description": f"Always {kind}.", **text},
            "metadata": METADATA,
            **parts,
        },
    }


def _definition(kind: str, *, scope: str, names: Schema, version: Schema) -> Schema:
    """The CustomResourceDefinition around the schema of one version."""
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": scope,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                **names,
            },
            "versions": [{"name": VERSION, "served": True, "storage": True, **version}],
        },
    }


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> Schema:
    """What `kubectl get` prints. Wide ones come with `-o wide`."""
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": 1} if wide else {})


AGE = _column("AGE", ".metadata.creationTimestamp", "Time since it was created.", kind="date")
JOB_COLUMNS = [
    _column("STATE", ".status.state", "One word."),
    _column("PROGRESS", ".status.progress.text", "Optimiser steps done, of all."),
    _column("LOSS", ".status.progress.loss", "Training loss (SFT: nats per token).", kind="number"),
    _column("ETA", ".status.progress.eta", "Time to the end of training."),
    AGE,
    _column("MODEL", ".spec.model.uri", "The base model.", wide=True),
    _column("METHOD", ".spec.method", "How it learns.", wide=True),
    _column("REASON", '.status.conditions[?(@.type=="Ready")].reason', "Why it is in this state.", wide=True),
    _column("ADAPTER", ".status.adapter.uri", "Where the result lies.", wide=True),
]
PROFILE_COLUMNS = [
    _column("DEFAULT", ".spec.default", "Whether jobs that name no profile use it.", kind="boolean"),
    _column("GPU", ".spec.gpu.resource", "Name of the GPU resource."),
    _column("IMAGE", ".spec.image", "Trainer image.", wide=True),
    AGE,
]


def finetunejobs() -> Schema:
    """The CustomResourceDefinition of FineTuneJob."""
    spec = structural(job.FineTuneJobSpec)
    for name in job.fixed_fields(job.FineTuneJobSpec):
        spec["properties"][name] = _guarded(spec["properties"][name], job.FIXED)
    seen = structural(status.FineTuneJobStatus) | {"default": UNWATCHED}
    root = _root(
        "FineTuneJob",
        "One fine-tuning run, from data to a published adapter.",
        spec=spec,
        status=_ordered(seen),
    )
    version = {
        "additionalPrinterColumns": JOB_COLUMNS,
        "subresources": {"status": {}},
        "selectableFields": [{"jsonPath": ".status.state"}, {"jsonPath": ".spec.method"}],
        "schema": {"openAPIV3Schema": root | {RULES: list(job.ROOT_RULES)}},
    }
    names = {"shortNames": ["ftj"], "categories": ["finetune", "ml"]}
    return _definition("FineTuneJob", scope="Namespaced", names=names, version=version)


def finetuneprofiles() -> Schema:
    """The CustomResourceDefinition of FineTuneProfile."""
    spec = structural(profile.FineTuneProfileSpec)
    root = _root("FineTuneProfile", "What the admin allows, prefers and pays.", spec=spec)
    version = {"additionalPrinterColumns": PROFILE_COLUMNS, "schema": {"openAPIV3Schema": root}}
    names = {"shortNames": ["ftp"], "categories": ["finetune"]}
    return _definition("FineTuneProfile", scope="Cluster", names=names, version=version)


class _Plain(yaml.SafeDumper):
    """YAML without anchors: one list object may stand in several places."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the signature is yaml's)
        return True


def rendered() -> dict[str, str]:
    """File name to text, for each CustomResourceDefinition."""
    made = (finetunejobs(), finetuneprofiles())
    return {f"{GROUP}_{crd['spec']['names']['plural']}.yaml": HEADER + _yaml(crd) for crd in made}


def _yaml(document: Schema) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)


def main(directories: list[str]) -> None:
    """Write the files into each directory."""
    for directory in map(Path, directories):
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in rendered().items():
            (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
