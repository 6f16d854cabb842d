"""The base model without its weights: its architecture on the meta device, and its tokenizer."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finetune_trainer import cycles, errors, isolation, outline
from finetune_trainer.base_model import FIELD
from finetune_trainer.data.chat import Renderer
from finetune_trainer.data.families import PLAIN_TEMPLATE
from finetune_trainer.estimate import shape
from finetune_trainer.estimate.shape import Shape
from finetune_trainer.outline import Outline

ALL_LINEAR = "all-linear"
HEAD = "lm_head"
CARRIERS = ("Linear", "Conv1D", "Embedding")
"""Classes of modules that PEFT can put a LoRA adapter on; GPT-2's linear layers are Conv1D."""
MODULES = "spec.tuning.lora.targetModules"
SAVED = "spec.tuning.lora.modulesToSave"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What the model's config says."""

    modules: dict[str, str]
    """Name -> class, of every module that could carry an adapter."""
    parts: tuple[str, ...] = ()
    """Names of all modules."""
    head: str | None
    """Name of the output layer."""
    positions: int | None
    """Longest sequence that the model was made for (tokens)."""
    shape: Shape
    """Its sizes."""
    kind: str = ""
    """Its `model_type`."""
    unpackable: str | None = None
    """Why rows that share a sequence cannot be kept apart; None: nothing is known against it."""

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding."""
        return self.shape.vocabulary

    @property
    def linear(self) -> tuple[str, ...]:
        """Last names of the linear layers but the head, sorted: what `all-linear` stands for."""
        names = {
            name.rpartition(".")[2]
            for name, kind in self.modules.items()
            if kind != "Embedding" and name not in {self.head, HEAD}
        }
        return tuple(sorted(names))


def architecture(folder: Path) -> Architecture:
    """The model that `folder`'s config.json describes, built without memory. Imports torch. Raises `UnsupportedModelFiles`."""
    with cycles.unsought():
        import torch  # noqa: PLC0415 - seconds of import, and hundreds of MB that reading data needs not
        from transformers import AutoModelForCausalLM  # noqa: PLC0415 - same

    with _understood(folder):
        settings = _settings(folder)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(settings, trust_remote_code=False)  # type: ignore[no-untyped-call]
    return _read(model, settings)


def outlined(folder: Path) -> Architecture | None:
    """The same of a common model, without torch; None: `architecture` must build it. Raises `UnsupportedModelFiles`."""
    with _understood(folder):
        settings = _settings(folder)
        return _read(Outline(settings), settings) if outline.known(settings, folder) else None


def _read(model: Any, settings: Any) -> Architecture:
    """What `model` is made of."""
    head = model.get_output_embeddings()
    text = settings.get_text_config()
    return Architecture(
        modules={
            name: kind
            for name, module in model.named_modules()
            if (kind := type(module).__name__) in CARRIERS
        },
        parts=tuple(name for name, _ in model.named_modules() if name),
        head=next((name for name, module in model.named_modules() if module is head), None),
        positions=_positions(text),
        shape=shape.read(model, text),
        kind=settings.model_type,
        unpackable=isolation.obstacle(model),
    )


def positions(folder: Path) -> int | None:
    """The longest sequence (tokens) that the model in `folder` was made for. Imports no torch. Raises `UnsupportedModelFiles`."""
    with _understood(folder):
        return _positions(_settings(folder).get_text_config())


def _settings(folder: Path) -> Any:
    """config.json, as transformers understands it."""
    with cycles.unsought():
        from transformers import AutoConfig  # noqa: PLC0415 - seconds of import

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


@contextmanager
def _understood(folder: Path) -> Iterator[None]:
    """Raises `UnsupportedModelFiles` for whatever is raised: numbers that make no model raise what torch raises."""
    try:
        yield
    except errors.TrainerError:
        raise
    except Exception as error:
        raise errors.UnsupportedModelFiles(
            f"{FIELD}: this trainer image can build no language model from config.json ({_first_line(error, folder)}); correct "
            "config.json, or use a model of a type that the image's transformers knows"
        ) from error


def _positions(text: Any) -> int | None:
    found: int | None = getattr(text, "max_position_embeddings", None)
    return found


def target_modules(wanted: Sequence[str], found: Architecture) -> tuple[str, ...]:
    """The modules that get an adapter, by last name, sorted: PEFT's own order changes from run to run.

    Raises `TargetModulesNotFound` for names that fit nothing, and for the head: TRL computes the loss in chunks without it.
    """
    names: set[str] = set()
    for target in wanted:
        fitting = [name for name in found.modules if name == target or name.endswith(f".{target}")]
        if target == HEAD or (fitting and all(name == found.head for name in fitting)):
            raise errors.TargetModulesNotFound(
                f"{MODULES}: {target} is the model's head, which cannot carry an adapter; choose from {_listed(found.linear)}"
            )
        if target != ALL_LINEAR and not fitting:
            raise errors.TargetModulesNotFound(
                f"{MODULES}: the model has no module {target!r} that could carry an adapter; choose from {_listed(found.linear)}"
            )
        names |= set(found.linear) if target == ALL_LINEAR else {target}
    return tuple(sorted(names))


def check_saved(wanted: Sequence[str], targets: Sequence[str], found: Architecture) -> None:
    """Raises `TargetModulesNotFound` for modules to be trained whole that the model lacks: PEFT ignores them without a word."""
    for name in wanted:
        fitting = {part for part in found.parts if part.endswith(name)}  # as PEFT looks for them
        if not fitting:
            raise errors.TargetModulesNotFound(
                f"{SAVED}: the model has no module {name!r}; name one that it has, for example "
                f"{_listed(sorted({part.rpartition('.')[2] for part in found.modules}))}"
            )
        if twice := sorted({part.rpartition(".")[2] for part in fitting} & set(targets)):
            raise errors.TargetModulesNotFound(
                f"{SAVED}: {name} is to be trained whole, and {twice[0]} is to get an adapter ({MODULES}); leave one of them out"
            )


@dataclass(frozen=True, kw_only=True)
class Words:
    """The tokenizer with the chat template in force."""

    tokenizer: Any
    renderer: Renderer
    source: Literal["Model", "Spec", "Plain"]
    """Whose template it is."""
    digest: str
    """`sha256:` over the tokenizer's files."""

    @property
    def chat(self) -> bool:
        """Whether model or spec bring a chat template."""
        return self.source != "Plain"


def words(folder: Path, files: Iterable[str], template: str | None) -> Words:
    """The tokenizer in `folder`; `template` replaces its chat template. Raises `UnsupportedModelFiles`, `InvalidChatTemplate`."""
    with cycles.unsought():
        from transformers import AutoTokenizer  # noqa: PLC0415 - seconds of import

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except errors.Interrupted:
        raise
    except Exception as error:
        raise errors.UnsupportedModelFiles(
            f"{FIELD}: the tokenizer cannot be loaded ({_first_line(error, folder)}); put a tokenizer.json beside the weights"
        ) from error
    if not tokenizer.is_fast or tokenizer.eos_token_id is None:
        lack = "has no end-of-text token (eos_token)" if tokenizer.is_fast else "has no tokenizer.json"
        raise errors.UnsupportedModelFiles(
            f"{FIELD}: the tokenizer {lack}, without which answers cannot be marked or ended; add it, or use another model"
        )
    own = _own_template(tokenizer)
    source: Literal["Model", "Spec", "Plain"] = "Spec" if template else "Model" if own else "Plain"
    specials = {
        name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)
    }
    ends = [
        *tokenizer.all_special_tokens,
        *(str(token) for token in tokenizer.added_tokens_decoder.values() if token.special),
    ]
    renderer = Renderer(template or own or PLAIN_TEMPLATE, specials, end_tokens=ends)
    if template:
        renderer.check("spec.model.chatTemplate")
    return Words(tokenizer=tokenizer, renderer=renderer, source=source, digest=_digest(folder, files))


def _own_template(tokenizer: Any) -> str | None:
    """The model's chat template; of several named ones the default."""
    found = tokenizer.chat_template
    if isinstance(found, dict):
        found = found.get("default") or next(iter(found.values()), None)
    return found or None


def _digest(folder: Path, files: Iterable[str]) -> str:
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(name.encode() + b"\0" + hashlib.sha256((folder / name).read_bytes()).digest())
    return "sha256:" + total.hexdigest()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:32]) or "none"


def _first_line(error: Exception, folder: Path) -> str:
    """What a library says, without the pod's own paths."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    first = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
    return first.replace(f"{folder}/", "").replace(str(folder), "the model's folder")[:300]
