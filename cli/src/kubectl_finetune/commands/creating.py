"""`create`: from flags, a form or a file to a FineTuneJob."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from finetune_operator.api.sources import DATA_SCHEMES, MODEL_SCHEMES, OUTPUT_SCHEMES
from kubectl_finetune import errors, screen
from kubectl_finetune.commands import options
from kubectl_finetune.job import manifest

METHODS = ("SFT", "DPO", "ORPO", "KTO")
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
@click.option("--model", metavar="URI", help=f"Base model: {', '.join(MODEL_SCHEMES[:-1])}://...")
@click.option(
    "--data", "data", multiple=True, metavar="URI", help="Training data; may be given several times."
)
@click.option(
    "--eval", "held_out", multiple=True, metavar="URI", help="Held-out data (5% of the training data)."
)
@click.option("--to", "output", metavar="URI", help="Where the result goes, a prefix of its own.")
@click.option("--secret", metavar="NAME", help="Secret with the bucket's keys.")
@click.option("--method", type=click.Choice(METHODS, case_sensitive=False), help="How it learns (SFT).")
@click.option(
    "--tuning", type=click.Choice(TUNINGS, case_sensitive=False), help="Which weights learn (LoRA)."
)
@click.option(
    "--gpus", type=click.IntRange(0), metavar="N", help="GPUs per node; 0 trains on CPU (the profile's)."
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Any field of the spec: training.epochs=2; =null removes it.",
)
@click.option("--ask/--no-ask", default=None, help="Ask for what no flag gives (on a terminal).")
@click.option("--dry-run", is_flag=True, help="Print the YAML and create nothing.")
@options.output
@options.to_cluster_if_needed
def create(
    cluster: options.Connect,
    *,
    name: str | None,
    file: Path | None,
    ask: bool | None,
    dry_run: bool,
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
    if not file and (ask or (ask is None and screen.interactive())):
        _ask(made)
    manifest.changed(spec, settings)
    _complete(made)
    manifest.checked(made)
    if dry_run:
        screen.as_json(made) if json_wanted else screen.say(manifest.text(made).rstrip())
        return
    created = cluster().create(made)
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


def _ask(made: manifest.Manifest) -> None:
    """The form: one question for each thing that every job needs and nobody has said."""
    spec, metadata = made["spec"], made["metadata"]
    if not metadata.get("name"):
        metadata["name"] = click.prompt("Name of the job", err=True)
    if "model" not in spec:
        _say(spec, **_answers(model=_uri("Base model, for example hf://Qwen/Qwen3-0.6B", MODEL_SCHEMES)))
    if "dataset" not in spec:
        _say(
            spec,
            **_answers(data=(_uri("Training data, for example s3://team-a/tickets.jsonl", DATA_SCHEMES),)),
        )
    if "method" not in spec:
        chosen = click.prompt(
            "Method", type=click.Choice(METHODS, case_sensitive=False), default="SFT", err=True
        )
        _say(spec, **_answers(method=chosen))
    if "output" not in spec:
        where = _uri(
            f"Where the result goes, for example s3://team-a/adapters/{metadata['name']}", OUTPUT_SCHEMES
        )
        secret = click.prompt(
            "Secret with the bucket's keys (empty: none)", default="", show_default=False, err=True
        )
        _say(spec, **_answers(output=where, secret=secret or None))


def _answers(**given: Any) -> dict[str, Any]:
    """What `_say` takes, the rest not said."""
    texts = dict.fromkeys(("model", "output", "secret", "method", "tuning", "gpus"))
    return {**texts, "data": (), "held_out": (), **given}


def _uri(question: str, schemes: Iterable[str]) -> str:
    """Ask until it is a URI of one of those schemes."""
    known = tuple(f"{scheme}://" for scheme in schemes)
    while True:
        answer = str(click.prompt(question, err=True)).strip()
        if answer.startswith(known):
            return answer
        click.echo(f"It must start with one of {', '.join(known)}", err=True)


def _complete(made: manifest.Manifest) -> None:
    """What flags must have said, by the flags' names: a path of a field says little to whoever typed none."""
    spec = made["spec"]
    fields = {"--model": "model", "--data": "dataset", "--to": "output"}
    missing = [] if made["metadata"].get("name") else ["NAME"]
    missing += [flag for flag, field in fields.items() if not spec.get(field)]
    if missing:
        raise errors.Mistake(
            f"give {', '.join(missing)} too; or type `kubectl finetune create` on a terminal to be asked"
        )


COMMANDS: Iterable[click.Command] = (create,)
