"""`create`: from flags, a form or a file to a FineTuneJob."""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from finetune_operator.api.sources import MODEL_SCHEMES
from kubectl_finetune import errors, screen
from kubectl_finetune.commands import form, judging, looking, options
from kubectl_finetune.job import manifest
from kubectl_finetune.local import stage
from kubectl_finetune.local.folder import StandIns

TUNINGS = ("LoRA", "QLoRA", "Full")


@click.command()
@click.argument("name", required=False)
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Start from this YAML; - is stdin.",
)
@click.option(
    "--model", metavar="URI", help=f"Base model: {', '.join(f'{one}://' for one in MODEL_SCHEMES[:-1])}."
)
@click.option(
    "--data", "data", multiple=True, metavar="URI", help="Training data; may be given several times."
)
@click.option(
    "--eval",
    "held_out",
    multiple=True,
    metavar="URI",
    help="Held-out data; default: 5% of the training data.",
)
@click.option("--to", "output", metavar="URI", help="Where the result goes: a folder that no other job uses.")
@click.option("--secret", metavar="NAME", help="Secret with the bucket's keys.")
@click.option(
    "--method",
    type=click.Choice(form.METHODS, case_sensitive=False),
    help="Method of training; default: SFT.",
)
@click.option(
    "--tuning",
    type=click.Choice(TUNINGS, case_sensitive=False),
    help="What is trained: an adapter (LoRA, QLoRA) or all weights (Full); default: LoRA.",
)
@click.option(
    "--gpus",
    type=click.IntRange(0),
    metavar="N",
    help="GPUs per node, 0: train on CPU; default: the profile's number.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set any field of the spec: training.epochs=2; =null removes it.",
)
@click.option(
    "--ask/--no-ask",
    default=None,
    help="Ask for what no flag gives; default: on a terminal, if something is missing.",
)
@click.option("--dry-run", is_flag=True, help="Print the YAML and create nothing.")
@click.option(
    "--estimate",
    "estimated",
    is_flag=True,
    help="First say what memory and time it will need; reads the data here.",
)
@options.output
@options.to_cluster_if_needed
def create(
    cluster: options.Connect,
    *,
    name: str | None,
    file: Path | None,
    ask: bool | None,
    dry_run: bool,
    estimated: bool,
    json_wanted: bool,
    settings: tuple[str, ...],
    **said: Any,
) -> None:
    """Make a FineTuneJob from flags, from a form, or from a file."""
    made = manifest.read(file) if file else manifest.of(name or "", {})
    if name:
        made.setdefault("metadata", {})["name"] = name
    spec = made.setdefault("spec", {})
    _say(spec, **said)
    manifest.changed(spec, settings)
    asked = not file and (ask or (ask is None and screen.interactive() and _lacking(made)))
    if asked:
        made = form.filled(made)
    _complete(made)
    manifest.checked(made)
    if estimated:
        _show(_needs(made, file, cluster))
    if asked and not dry_run and not _agreed(made, lambda: _needs(made, file, cluster)):
        screen.note("nothing is created")
        return
    if dry_run:
        screen.as_json(made) if json_wanted else screen.say(manifest.text(made).rstrip())
        return
    created = cluster(made["metadata"].get("namespace")).create(made)
    if json_wanted:
        screen.as_json(created)
    else:
        screen.say(
            f"{made['metadata']['name']} is created; `kubectl finetune watch {made['metadata']['name']}` follows it"
        )


def _say(
    spec: dict[str, Any],
    *,
    model: str | None,
    data: tuple[str, ...],
    held_out: tuple[str, ...],
    output: str | None,
    secret: str | None,
    method: str | None,
    tuning: str | None,
    gpus: int | None,
) -> None:
    """Put the flags into the spec."""
    if method:
        spec["method"] = method
    if model:
        spec.setdefault("model", {})["uri"] = model
    if data:
        spec.setdefault("dataset", {})["train"] = [{"uri": uri} for uri in data]
    if held_out:
        spec.setdefault("dataset", {})["eval"] = [{"uri": uri} for uri in held_out]
    if tuning:
        spec.setdefault("tuning", {})["type"] = tuning
    if output:
        spec.setdefault("output", {})["uri"] = output
    if secret:
        spec.setdefault("output", {})["credentialsSecretRef"] = {"name": secret}
    if gpus is not None:
        spec.setdefault("resources", {})["gpusPerNode"] = gpus


def _agreed(made: manifest.Manifest, needs: Callable[[], Iterable[str]]) -> bool:
    """Whether the job shall be created as it stands. `needs` is what it will need, told to whoever asks for it."""
    click.echo(err=True)
    _show(manifest.text(made).rstrip().splitlines())
    answers = ("yes", "no", "estimate") if stage.is_available() else ("yes", "no")
    while True:
        said = click.prompt("\nCreate it", type=click.Choice(answers), default="yes", err=True)
        if said != "estimate":
            return bool(said == "yes")
        try:
            _show(needs())
        except errors.CliError as error:
            screen.note(f"no estimate: {error}")


def _show(text: Iterable[str]) -> None:
    """Beside the output, as it stands."""
    for line in text:
        click.echo(line, err=True)


def _needs(made: manifest.Manifest, file: Path | None, cluster: options.Connect) -> Iterator[str]:
    """The estimate, with the keys that the job's Secrets hold, as far as you may read them."""
    screen.note("reading the data for the estimate ...")
    there = functools.partial(cluster, made["metadata"].get("namespace"))
    found = {
        name: looking.keys_in(name, there, excused=(errors.CliError,)) for name in _secrets(made["spec"])
    }
    secrets = {name: keys for name, keys in found.items() if keys}
    beside = manifest.beside(file) if file else Path.cwd()
    yield from judging.told(judging.needs(made, beside=beside, at_hand=StandIns(secrets=secrets)))


def _secrets(value: Any) -> set[str]:
    """Names of all the Secrets that a spec refers to."""
    if isinstance(value, list):
        return {name for one in value for name in _secrets(one)}
    if not isinstance(value, dict):
        return set()
    mine = {value["credentialsSecretRef"]["name"]} if "credentialsSecretRef" in value else set()
    return mine | {name for one in value.values() for name in _secrets(one)}


def _complete(made: manifest.Manifest) -> None:
    """What flags must have said, by the flags' names: a path of a field says little to whoever typed none."""
    if missing := _lacking(made):
        raise errors.Mistake(
            f"give {', '.join(missing)} too; or type `kubectl finetune create` on a terminal to be asked"
        )


def _lacking(made: manifest.Manifest) -> list[str]:
    """Flags without which there is no job."""
    fields = {"--model": ("model", "uri"), "--data": ("dataset", "train"), "--to": ("output", "uri")}
    name = [] if made["metadata"].get("name") else ["NAME"]
    return name + [flag for flag, (part, field) in fields.items() if not _says(made["spec"].get(part), field)]


def _says(part: Any, field: str) -> bool:
    """Whether `field` is in it; what is no mapping is told of by a sentence of its own."""
    return bool(part.get(field) if isinstance(part, dict) else part)


COMMANDS: Iterable[click.Command] = (create,)
