"""What can go wrong, as the author of a FineTuneJob reads it.

    TrainerError                        exit code
    ├── AuthorError                     64  the author must change the spec or the data
    │   ├── InvalidRun                      run.json is not what this image understands
    │   ├── NotYetSupported                 a field whose behaviour does not exist yet
    │   ├── OutputExists                    another job's result is at output.uri
    │   ├── BucketNotFound
    │   ├── ModelNotFound
    │   ├── ModelChanged                    other files than those that were prepared for
    │   ├── UnsupportedModelFiles           no config, no tokenizer, or no safetensors
    │   ├── AdapterNotFound                 nothing lies where model.adapterFrom points
    │   ├── UnsupportedAdapter              no adapter, a damaged one, or one that is more than a plain LoRA
    │   ├── AdapterDoesNotFit               an adapter of another model, or another revision
    │   ├── CheckpointNotFound              the job of checkpoint.resumeFrom has left none that is whole
    │   ├── CheckpointDoesNotFit            it was made with other settings or data
    │   ├── InvalidChatTemplate             the template does not render, or loses words
    │   ├── TargetModulesNotFound
    │   ├── DataFileNotFound
    │   ├── InvalidFile                     a file that cannot be read as what its name says
    │   ├── InvalidRow                      one row that cannot be read, with file and line
    │   ├── EmptyDataset
    │   ├── UnknownFormat                   columns that fit no known format
    │   ├── FormatDoesNotFitMethod          DPO on messages, SFT on preferences, ...
    │   ├── ColumnMissing                   a column the spec names that the data lacks
    │   ├── InvalidTemplate                 a template whose braces do not fit
    │   ├── TemplateColumnMissing           a column a template names that the data lacks
    │   ├── NoAssistantTurn                 a row nobody answers in
    │   ├── NothingToLearn                  a mask without a single learned token
    │   ├── AllRowsTooLong                  nothing learned is left after the cut to maxLength
    │   ├── InvalidBatchSize                batches that the processes cannot share
    │   ├── SettingsDoNotFit                two settings contradict each other
    │   ├── InvalidGate                     an entry of the gate that cannot be read
    │   ├── ModelDoesNotFit                 more memory than the GPU, or the pod, has
    │   ├── UnsupportedHere                 a setting that this GPU, or CPU, cannot do
    │   └── NonFiniteLoss                   training diverged
    ├── GateNotMet                      65  the evaluation gate was not met
    ├── OutsideError                    69  something outside is not there yet
    │   ├── SecretMissing
    │   ├── ConfigMapMissing
    │   ├── EndpointUnreachable             refused, no such host, timeout, TLS
    │   ├── StorageUnavailable              storage or hub answers 5xx or 429
    │   ├── PeerMissing                     another node's pod did not come
    │   └── ScratchFull
    ├── Interrupted                     75  stopped from outside; what stands, stands
    │   ├── PeerLost                        another rank, or another node's pod, has gone
    │   └── Superseded                      taken for lost; a later run of the same job has started
    ├── DeniedError                     77  access denied
    │   ├── AccessDenied
    │   └── GatedModel
    ├── OutOfMemory                     86  accelerator out of memory
    ├── InternalError                   70  anything else: our bug, or the machine's
    │   ├── AcceleratorMissing              GPUs were promised, and none is seen
    │   ├── RankDied                        a rank ended without a word, mostly killed
    │   ├── WorkerDied                      a process that helps Prepare did
    │   └── Stalled                         no progress for too long; the ranks were killed
    └── EarlierFailure                   *  what an earlier attempt of this very job ended with, word for word

`reason` is stable API (docs/reasons.md); `str(error)` is the sentence a person reads: which field, or which
file and line, what is wrong, what to do.
"""

import re
from enum import IntEnum
from typing import Any, ClassVar


class ExitCode(IntEnum):
    """Section 4 of docs/contract.md."""

    OK = 0
    AUTHOR = 64
    GATE = 65
    OUTSIDE = 69
    INTERNAL = 70
    """One of the contract's "other" codes: sysexits' EX_SOFTWARE."""
    INTERRUPTED = 75
    DENIED = 77
    OUT_OF_MEMORY = 86


FINAL = frozenset({ExitCode.AUTHOR, ExitCode.GATE, ExitCode.DENIED, ExitCode.OUT_OF_MEMORY})
"""Failures that no further attempt can cure; they are kept as `outcome.json`."""


LONGEST = 1_200
"""Characters of a sentence; what is longer quotes data or foreign errors at length."""
LINE_ENDS = re.compile(r"\s*[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]\s*")
UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb]"
)
"""Characters that move a terminal's cursor, turn the direction of writing, or cannot be seen or encoded at all."""


def _in_one_line(sentence: str) -> str:
    """`sentence` as it may be shown anywhere: data and file names that it quotes can hold any character, and any number."""
    line = UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), LINE_ENDS.sub(" ", sentence))
    return line if len(line) <= LONGEST else f"{line[: LONGEST * 2 // 3]} … {line[-LONGEST // 3 :]}"


class TrainerError(Exception):
    """Every error that ends a stage; `str()` is a sentence for a person, in one line of bounded length."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, sentence: str) -> None:
        super().__init__(_in_one_line(sentence))

    @property
    def reason(self) -> str:
        """The stable CamelCase word; a class is named by it."""
        return type(self).__name__


class AuthorError(TrainerError):
    """The author must change the spec or the data; trying again cannot help."""

    exit_code = ExitCode.AUTHOR


class InvalidRun(AuthorError):
    """run.json is not what this image understands: operator and trainer image are of different versions."""


class NotYetSupported(AuthorError):
    """A field asks for something that this trainer does not do yet; ignoring it would be a lie."""


class OutputExists(AuthorError):
    """Another job's result is at `spec.output.uri`, and `spec.output.overwrite` is not set."""


class BucketNotFound(AuthorError):
    """The storage server answers, but has no such bucket."""


class ModelNotFound(AuthorError):
    """There is nothing at `spec.model.uri`."""


class ModelChanged(AuthorError):
    """The base model's files are not those that the data was prepared for."""


class UnsupportedModelFiles(AuthorError):
    """The model's folder lacks config, tokenizer or safetensors weights."""


class AdapterNotFound(AuthorError):
    """There is nothing where `spec.model.adapterFrom` points."""


class UnsupportedAdapter(AuthorError):
    """What is found where `spec.model.adapterFrom` points is not an adapter, is damaged, or is more than a plain LoRA."""


class AdapterDoesNotFit(AuthorError):
    """The adapter of `spec.model.adapterFrom` belongs to another base model, or to another revision of it."""


class CheckpointNotFound(AuthorError):
    """The job that `spec.checkpoint.resumeFrom` names has left no complete checkpoint."""


class CheckpointDoesNotFit(AuthorError):
    """The checkpoint of `spec.checkpoint.resumeFrom` was made with other settings or data; the message names them."""


class InvalidChatTemplate(AuthorError):
    """The chat template does not compile, does not render, or drops words of the conversation."""


class TargetModulesNotFound(AuthorError):
    """`spec.tuning.lora.targetModules` names modules that the model lacks, or that cannot carry an adapter."""


class DataFileNotFound(AuthorError):
    """There is nothing at a data source's URI."""


class InvalidFile(AuthorError):
    """A data file that cannot be read as what its name says."""


class InvalidRow(AuthorError):
    """One row that cannot be read; the message names file and line."""


class EmptyDataset(AuthorError):
    """No row at all, or none left after the filters."""


class UnknownFormat(AuthorError):
    """The columns fit no known format."""


class FormatDoesNotFitMethod(AuthorError):
    """The data is understood, but `spec.method`, or `spec.training.lossOn`, asks for data of another kind."""


class ColumnMissing(AuthorError):
    """The data lacks a column that the spec names, or that the format needs."""


class InvalidTemplate(AuthorError):
    """A template of the author's that cannot be read."""


class TemplateColumnMissing(AuthorError):
    """The data lacks a column that a template names."""


class NoAssistantTurn(AuthorError):
    """A row in which nobody answers: nothing could be learned from it."""


class NothingToLearn(AuthorError):
    """No row has a single token that would be learned."""


class AllRowsTooLong(AuthorError):
    """Cut to `spec.training.maxLength`, no row has a learned token left."""


class ModelDoesNotFit(AuthorError):
    """Training needs clearly more memory than the GPU or the pod has, with one row at a time; the message says what would fit."""


class UnsupportedHere(AuthorError):
    """A setting that this accelerator or image cannot do."""


class NonFiniteLoss(AuthorError):
    """The training loss became infinite or undefined; the message names the step."""


class SettingsDoNotFit(AuthorError):
    """Two settings contradict each other, or one would be ignored beside the other."""


class InvalidGate(AuthorError):
    """An entry of `spec.evaluation.gate` that cannot be read, or that goes by a figure which is not measured."""


class InvalidBatchSize(AuthorError):
    """`spec.training.globalBatchSize` is not a multiple of the processes times `spec.training.microBatchSize`."""


class GateNotMet(TrainerError):
    """The evaluation gate was not met; the artefacts are kept."""

    exit_code = ExitCode.GATE


class OutsideError(TrainerError):
    """Something outside is not there yet; waiting may help."""

    exit_code = ExitCode.OUTSIDE


class SecretMissing(OutsideError):
    """A Secret that the spec names does not exist, or lacks a key."""


class ConfigMapMissing(OutsideError):
    """A ConfigMap that a data source names does not exist."""


class EndpointUnreachable(OutsideError):
    """Connection refused, no such host, timeout, or a certificate nobody trusts."""


class StorageUnavailable(OutsideError):
    """Storage or hub answers, but with an error (5xx, 429)."""


class ScratchFull(OutsideError):
    """The pod's scratch disk is full; `spec.resources.scratch` says how large it is."""


class PeerMissing(OutsideError):
    """The pod of another node did not come, or cannot be reached."""


class Interrupted(TrainerError):
    """Stopped from outside (SIGTERM); a verified checkpoint, or the previous one, is kept."""

    exit_code = ExitCode.INTERRUPTED


class PeerLost(Interrupted):
    """Another training process, or another node's pod, went away in the middle of training; the cause is told where it is known."""


class Superseded(Interrupted):
    """This run was given up as lost, and a later one has started: it may write nothing more."""


class DeniedError(TrainerError):
    """Access is denied; only other rights or another token can help."""

    exit_code = ExitCode.DENIED


class AccessDenied(DeniedError):
    """Keys that are wrong, or that may not do this."""


class GatedModel(DeniedError):
    """A gated or private repository of the Hub."""


class OutOfMemory(TrainerError):
    """The memory of the GPU (on CPU: of the pod) does not suffice, not even for one row at a time."""

    exit_code = ExitCode.OUT_OF_MEMORY


class InternalError(TrainerError):
    """Our bug, or the machine's."""

    @classmethod
    def wrapping(cls, error: BaseException) -> "InternalError":
        """The sentence for an exception that nobody expected."""
        return cls(
            f"the trainer met an error it does not know ({type(error).__name__}: {error}); "
            "this is not your spec's fault, please report it with the pod's log"
        )


class AcceleratorMissing(InternalError):
    """The job has GPUs, and this pod sees none."""


class RankDied(InternalError):
    """A training process ended and could not say why: killed, most likely for memory."""


class WorkerDied(InternalError):
    """A process that helps Prepare (reads rows, looks at the model) ended and could not say why: killed, most likely for memory."""


class Stalled(InternalError):
    """No progress for `spec.runPolicy.stallTimeoutSeconds`: processes were killed; the next attempt goes on from a checkpoint."""


class EarlierFailure(TrainerError):
    """An earlier attempt of this very job failed for good: the same code and the same last word again."""

    def __init__(self, exit_code: int, last_word: dict[str, Any]) -> None:
        super().__init__(str(last_word.get("message", "an earlier attempt failed for good")))
        self.earlier_exit_code = exit_code
        """The exit code to end with."""
        self.last_word = last_word
        """The last word to write, word for word."""

    @property
    def reason(self) -> str:
        """What the earlier attempt said."""
        return str(self.last_word.get("reason", "EarlierFailure"))


def exit_code_of(error: BaseException) -> int:
    """The process's exit code for `error`."""
    if isinstance(error, EarlierFailure):
        return error.earlier_exit_code
    return int(error.exit_code if isinstance(error, TrainerError) else ExitCode.INTERNAL)
