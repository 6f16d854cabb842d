"""The YAML of a FineTuneJob: read, changed by PATH=VALUE, checked field by field, written."""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydantic
import yaml

from finetune_operator import names
from finetune_operator.api.base import JOB_NAME
from finetune_operator.api.job import MAX_NAME_LENGTH, FineTuneJobSpec
from finetune_operator.api.profile import FineTuneProfileSpec
from finetune_operator.errors import FineTuneError
from finetune_operator.plan import not_yet, run_config
from kubectl_finetune import errors
from kubectl_finetune.job import rules, wording

Manifest = dict[str, Any]
SET = re.compile(r"^(?:spec\.)?(?P<path>[A-Za-z0-9_]+(?:\[\d+\]|\.[A-Za-z0-9_]+)*)=(?P<value>.*)$", re.DOTALL)
PART = re.compile(r"[A-Za-z0-9_]+")
STDIN = "-"


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes reads it: what looks like a date is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(path: Path) -> Manifest:
    """The one FineTuneJob of a YAML file; `-` is stdin."""
    try:
        text = sys.stdin.read() if str(path) == STDIN else path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise errors.NotThere(f"there is no file {path}; correct the path") from error
    except UnicodeDecodeError as error:
        raise errors.Mistake(f"{path} is not UTF-8 text ({error}); save the YAML as UTF-8") from error
    return parsed(text, "stdin" if str(path) == STDIN else str(path))


def beside(file: Path) -> Path:
    """The folder that a file's relative paths are read from."""
    return Path.cwd() if str(file) == STDIN else file.absolute().parent


def parsed(text: str, where: str) -> Manifest:
    """The same of a text; `where` is how a person calls it."""
    try:
        documents = [one for one in yaml.load_all(text, _Loader) if one is not None]
        json.dumps(documents)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a list in itself
        raise errors.Mistake(
            f"{where}: this YAML holds what no FineTuneJob can ({error}); correct it"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise errors.Mistake(f"{where}{line}: this is not valid YAML ({problem}); correct it") from error
    jobs = [one for one in documents if isinstance(one, dict) and one.get("kind") == names.KIND]
    if len(jobs) != 1:
        raise errors.Mistake(
            f"{where} holds {len(jobs) or 'no'} FineTuneJob{'s' * (len(jobs) > 1)}; exactly one is needed"
        )
    parts = {part: jobs[0].get(part) or {} for part in ("metadata", "spec")}
    if wrong := [part for part, said in parts.items() if not isinstance(said, dict)]:
        raise errors.Mistake(
            f"{where}: {wrong[0]} must be a mapping of fields, not {wording.shown(parts[wrong[0]])}; correct it"
        )
    return {**jobs[0], **parts}


def of(name: str, spec: dict[str, Any], *, namespace: str | None = None) -> Manifest:
    """A whole manifest."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}


def text(manifest: Manifest) -> str:
    """As YAML, in the order of the API."""
    ordered = {
        field: manifest["spec"][field] for field in _fields(FineTuneJobSpec) if field in manifest["spec"]
    }
    whole = {**manifest, "spec": ordered | manifest["spec"]}
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120)


def changed(spec: dict[str, Any], settings: Iterable[str]) -> None:
    """Put each `training.learningRate=0.0001` into `spec`. The value is read as YAML; `null` removes the field."""
    for setting in settings:
        found = SET.match(setting)
        if found is None:
            raise errors.Mistake(f"--set {setting}: is not FIELD=VALUE; write it like training.epochs=2")
        if not found["value"].strip():
            raise errors.Mistake(f"--set {setting}: there is no value; give one, or null to remove the field")
        parts: list[str | int] = [int(one) if one.isdigit() else one for one in PART.findall(found["path"])]
        try:
            said = yaml.load(found["value"], _Loader)  # noqa: S506 - a safe one
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise errors.Mistake(f"--set {setting}: the value is not valid YAML; put it in quotes") from error
        try:
            _remove(spec, parts) if said is None else _put(spec, parts, said)
        except (TypeError, AttributeError, LookupError) as error:
            raise errors.Mistake(
                f"--set {setting}: there is no such field or list entry; `kubectl explain finetunejob.spec` lists the fields"
            ) from error


def _put(holder: Any, parts: list[str | int], value: Any) -> None:
    *above, last = parts
    for part in above:
        holder = holder[part] if isinstance(part, int) else holder.setdefault(part, {})
    holder[last] = value


def _remove(holder: Any, parts: list[str | int]) -> None:
    """Take the field out, wherever it was; what is not there is left as it is."""
    *above, last = parts
    for part in above:
        holder = holder[part] if isinstance(part, int) else holder.get(part, {})
    if isinstance(last, int):
        del holder[last]
    else:
        holder.pop(last, None)


def checked(manifest: Manifest) -> FineTuneJobSpec:
    """The spec as the operator reads it. `Mistake` with every field that is wrong, one a line."""
    wrong = [*_metadata(manifest), *_shape(manifest.get("spec"))]
    wrong += wording.unknown(manifest.get("spec"))
    if not wrong:
        wrong = rules.broken(manifest["spec"])
    if wrong:
        raise errors.Mistake("\n".join(wrong))
    spec = FineTuneJobSpec.model_validate(manifest["spec"])
    try:
        not_yet.check(spec, FineTuneProfileSpec(), "built-in")
        return run_config.with_credentials(spec)
    except FineTuneError as error:
        raise errors.Mistake(str(error)) from error


def named(manifest: Manifest) -> None:
    """`Mistake` where it has no name, or one that cannot be."""
    if wrong := _metadata(manifest):
        raise errors.Mistake("\n".join(wrong))


def _metadata(manifest: Manifest) -> list[str]:
    version, metadata = manifest.get("apiVersion"), manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    wrong = []
    if version != names.API_VERSION:
        wrong.append(f"apiVersion: must be {names.API_VERSION}, not {wording.shown(version)}")
    if name is None:
        wrong.append("metadata.name: must be set")
    elif not isinstance(name, str) or not re.fullmatch(JOB_NAME, name) or len(name) > MAX_NAME_LENGTH:
        wrong.append(
            f"metadata.name: {wording.shown(name)} must hold only a-z, 0-9 and '-', begin with a letter, end with a letter or "
            f"digit, and be at most {MAX_NAME_LENGTH} characters long"
        )
    return wrong


def _shape(spec: Any) -> list[str]:
    """What pydantic finds wrong, each with its path in the API's spelling."""
    try:
        FineTuneJobSpec.model_validate(spec if spec is not None else {})
    except pydantic.ValidationError as error:
        return wording.sentences(error.errors(include_url=False))
    return []


def _fields(model: type[pydantic.BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
