"""What every value of the API has in common: camelCase on the wire, frozen in memory, nothing unknown."""

from collections.abc import Iterable
from typing import Annotated, Any

import pydantic
from pydantic.alias_generators import to_camel


class Value(pydantic.BaseModel):
    """An immutable part of the API. `None` means "not said": a field that was not given is not written out."""

    model_config = pydantic.ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def wire(self) -> dict[str, Any]:
        """This value as it stands in YAML or JSON: camelCase, nothing that is not said."""
        return self.model_dump(by_alias=True, mode="json", exclude_none=True)


RULES = "x-kubernetes-validations"
Rule = dict[str, str]
"""One `x-kubernetes-validations` entry: a CEL `rule` and the sentence a person reads when it does not hold."""


def rule(cel: str, message: str, *, at: str | None = None, reason: str | None = None) -> Rule:
    """A CEL rule with its message. `at` is the path of the field that the API server blames, `reason` what it says of it."""
    said = {"rule": cel, "message": message, "fieldPath": at, "reason": reason}
    return {name: value for name, value in said.items() if value is not None}


def rules(*them: Rule) -> dict[str, Any]:
    """The schema extension that carries CEL rules."""
    return {RULES: list(them)}


def with_rules(*them: Rule) -> pydantic.ConfigDict:
    """A model configuration that attaches CEL rules to a whole object."""
    return pydantic.ConfigDict(json_schema_extra=rules(*them))


def uri_of(schemes: Iterable[str], *, max_length: int = 1024) -> Any:
    """A URI of one of `schemes`, checked by the API server with a message that lists them."""
    allowed = list(schemes)
    listed = ", ".join(f"{scheme}://" for scheme in allowed)
    alternatives = "|".join(allowed)
    return pydantic.Field(
        min_length=1,
        max_length=max_length,
        json_schema_extra=rules(
            rule(
                f"self.matches('^({alternatives})://[^[:space:]]+$')",
                f"must be a URI that starts with one of: {listed}",
            )
        ),
    )


JOB_NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""A FineTuneJob's name is part of host names: no dots, and a letter first (RFC 1035)."""

Name = Annotated[
    str,
    pydantic.Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"),
]
"""The name of a Kubernetes object."""

QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"


def _text(value: Any) -> Any:
    """A quantity that YAML took for a number, as in `cpu: 2`, is text as well."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    pydantic.BeforeValidator(_text),
    pydantic.Field(min_length=1, max_length=32, pattern=QUANTITY),
    pydantic.WithJsonSchema({"x-kubernetes-int-or-string": True, "maxLength": 32, "pattern": QUANTITY}),
]
"""A Kubernetes quantity, for example `500m`, `2` or `8Gi`."""


class SecretRef(Value):
    """A Secret of the job's own namespace. Its keys are the vendors' environment names, for example `AWS_ACCESS_KEY_ID`."""

    name: Name
    """Name of the Secret."""


class JobRef(Value):
    """Another FineTuneJob of the same namespace."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=40, pattern=JOB_NAME)]
    """Name of the FineTuneJob."""
