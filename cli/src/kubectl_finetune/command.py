"""The program: its commands, and how each of them ends."""

import errno
import itertools
import os
import sys
import traceback
from typing import Any

import click
from click.shell_completion import ShellComplete, get_completion_class

from kubectl_finetune import errors, screen
from kubectl_finetune.commands import changing, creating, judging, looking, pruning, running, talking

FULL = {errno.ENOSPC, errno.EDQUOT}
OF_FILES: dict[type[errors.CliError], set[int]] = {
    errors.NotThere: {errno.ENOENT},
    errors.Mistake: {
        errno.EISDIR,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.ELOOP,
    },
    errors.Denied: {errno.EACCES, errno.EPERM, errno.EROFS},
}
"""What an operating system's error is to whoever typed the path; anything else is the machine's."""
SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_KUBECTL_FINETUNE_COMPLETE"
"""By which a shell asks for completions; `click`'s way."""
NAME = "kubectl-finetune"
DIRECTIVE_FILES, DIRECTIVE_NO_FILES = 0, 4
"""What kubectl expects at the end of a plug-in's completions (cobra's ShellCompDirectiveDefault and NoFileComp)."""


class Program(click.Group):
    """Commands in the order of their use, and one way out for every error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added."""
        del ctx
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours leaves as one sentence and its exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except BrokenPipeError:
            _leave_quietly(ctx)
        except (KeyboardInterrupt, click.Abort):  # Abort: the same at a question, or the end of its input
            _end(ctx, errors.Stopped("stopped; nothing more is done"))
        except errors.CliError as error:
            _end(ctx, error)
        except OSError as error:
            _end(ctx, _of_disk(error))
        except Exception as error:  # noqa: BLE001 - whoever meets it shall know what to do with it
            traceback.print_exception(error)
            told = f"{type(error).__name__}: {error}"
            _end(
                ctx,
                errors.CliError(
                    f"this is a bug in kubectl finetune ({told}); please report it with the lines above"
                ),
            )


def _leave_quietly(ctx: click.Context) -> None:
    """Whoever read the output has gone, and so has whoever could be told."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
    ctx.exit(errors.Exit.UNREAD)


def _end(ctx: click.Context, error: errors.CliError) -> None:
    screen.refuse(error, json_wanted=_json_wanted())
    ctx.exit(error.code)


def _json_wanted() -> bool:
    """Whether `-o json` stands on the command line: an error may come before it was read."""
    words = sys.argv[1:]
    short = any(pair in {("-o", "json"), ("--output", "json")} for pair in itertools.pairwise(words))
    return short or not {"-ojson", "--output=json"}.isdisjoint(words)


def _of_disk(error: OSError) -> errors.CliError:
    what = f" {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return errors.DiskFull(f"the disk is full while writing{what}; make room and try again")
    kind = next((kind for kind, numbers in OF_FILES.items() if error.errno in numbers), errors.Outside)
    return kind(
        f"cannot read or write{what}: {error.strerror or error}; correct the path, or ask for access to it"
    )


@click.group(
    name=NAME, cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80}
)
@click.version_option(package_name=NAME, prog_name="kubectl finetune")
def program() -> None:
    """Fine-tune language models: make FineTuneJobs, follow them, judge them.

    Only your own kubeconfig's rights are used.
    """


@click.command(short_help="Print what completes commands in a shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a shell's completion: source <(kubectl-finetune completion bash)."""
    found = get_completion_class(shell)
    if found is None:
        raise errors.Mistake(f"there is no completion for {shell}; there is one for {', '.join(SHELLS)}")
    screen.say(found(program, {}, NAME, VARIABLE).source())


def complete(words: list[str]) -> list[str]:
    """What may stand last in `kubectl finetune WORDS...`, as kubectl asks its plug-ins."""
    *before, last = words or [""]
    found = ShellComplete(program, {}, NAME, VARIABLE).get_completions(before, last)
    if any(one.type in {"file", "dir"} for one in found):
        return [f":{DIRECTIVE_FILES}"]
    return [
        *(f"{one.value}\t{one.help}" if one.help else one.value for one in found),
        f":{DIRECTIVE_NO_FILES}",
    ]


for one in (
    *creating.COMMANDS,
    *looking.COMMANDS,
    *changing.COMMANDS,
    *running.COMMANDS,
    *judging.COMMANDS,
    *talking.COMMANDS,
    *pruning.COMMANDS,
    completion,
):
    program.add_command(one)
