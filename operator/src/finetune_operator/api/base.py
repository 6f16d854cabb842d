"""What every value of the API has in common: camelCase on the wire, frozen in memory, nothing unknown."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

import pydantic
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


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


def uri_of(schemes: Iterable[str], *, max_length: int = 1024, unnamed: Iterable[str] = ()) -> Any:
    """A URI of one of `schemes`, checked by the API server with a message that lists them; those of `unnamed` pass too."""
    named = list(schemes)
    allowed = [*named, *unnamed]
    listed = ", ".join(f"{scheme}://" for scheme in named)
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


@dataclass(frozen=True)
class Form:
    """A text of one form: who breaks it reads a sentence, not the regular expression, from the API server and from us alike."""

    pattern: str
    """As Python reads it."""
    message: str

    @property
    def rule(self) -> Rule:
        """For the API server: its texts know no backslash before an s."""
        pattern = self.pattern.replace(r"\s", "[:space:]")
        return rule(f"self.matches('{pattern}')", self.message)

    def checked(self, text: str) -> str:
        """`text`, if it has the form."""
        if not re.fullmatch(self.pattern, text):
            raise PydanticCustomError("form", "{message}", {"message": self.message})
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: pydantic.GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: pydantic.GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(core), **rules(self.rule)}


JOB_NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""A FineTuneJob's name is part of host names: no dots, and a letter first (RFC 1035)."""
OF_A_JOB = "must hold only a-z, 0-9 and '-', begin with a letter and end with a letter or digit"

Name = Annotated[
    str,
    pydantic.Field(min_length=1, max_length=253),
    Form(
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        "must hold only a-z, 0-9, '-' and '.', and begin and end with a letter or digit",
    ),
]
"""The name of a Kubernetes object."""

GpuResource = Annotated[
    str,
    pydantic.Field(min_length=3, max_length=128),
    Form(r"^[^/\s]+/[^/\s]+$", "must be the name of a resource with a slash, for example nvidia.com/gpu"),
]
"""What a node calls its GPUs."""

QUANTITY = "^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$"
OF_A_QUANTITY = Form(QUANTITY, "must be a quantity as Kubernetes writes it, for example 500m, 4, 16Gi or 16G")


def _text(value: Any) -> Any:
    """A quantity that YAML took for a number, as in `cpu: 2`, is text as well."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    pydantic.Field(min_length=1, max_length=32),
    pydantic.BeforeValidator(_text),
    OF_A_QUANTITY,
    pydantic.WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "maxLength": 32,
            **rules(rule(f"type(self) == int || {OF_A_QUANTITY.rule['rule']}", OF_A_QUANTITY.message)),
        }
    ),
]
"""A Kubernetes quantity, for example `500m`, `2` or `8Gi`."""


class SecretRef(Value):
    """A Secret of the job's own namespace. Its keys are the vendors' environment names, for example `AWS_ACCESS_KEY_ID`."""

    name: Name
    """Name of the Secret."""


class JobRef(Value):
    """Another FineTuneJob of the same namespace."""

    name: Annotated[str, pydantic.Field(min_length=1, max_length=40), Form(JOB_NAME, OF_A_JOB)]
    """Name of the FineTuneJob."""
