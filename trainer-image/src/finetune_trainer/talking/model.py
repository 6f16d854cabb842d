"""Base and tuned model in memory, and what they answer."""

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, TextStreamer, set_seed
from transformers.utils import logging as transformers_logging

from finetune_trainer import errors
from finetune_trainer.talking.answer import Answer, Hear, Manner, Message, Side
from finetune_trainer.talking.result import Result


class _Heard(TextStreamer):
    """Passes each piece of text on."""

    def __init__(self, tokenizer: Any, hear: Hear) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._hear = hear

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - as it is called
        if text:
            self._hear(text)


class Talker:
    """One base model, and over it the adapter; or two whole models. Answers one question at a time."""

    def __init__(self, result: Result) -> None:
        self._turn = threading.Lock()
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        device = "cuda" if torch.cuda.is_available() else "cpu"
        warnings.filterwarnings(
            "ignore", category=FutureWarning, module="transformers"
        )  # they are for programmers
        try:
            self._load(result, device)
        except torch.OutOfMemoryError as error:
            raise errors.OutOfMemory(
                "the GPU's memory does not suffice to talk with this model; use a larger GPU, or run it on CPU"
            ) from error
        except (OSError, ValueError) as error:
            told = " ".join(str(error).split())[:300]
            raise errors.ModelNotFound(f"the model cannot be loaded: {told}; {result.advice}") from error
        self._tuned.eval()
        self._base.eval()
        self._ends = self._found_ends()

    def _load(self, result: Result, device: str) -> None:
        trust = {"trust_remote_code": result.trust_remote_code}
        self.tokenizer: Any = AutoTokenizer.from_pretrained(result.folder, **trust)
        auto: Any = AutoModelForCausalLM  # its methods are typed for one model alone
        whole: Any = auto.from_pretrained(result.base, revision=result.revision, dtype="auto", **trust)
        if result.full:
            self._tuned: Any = auto.from_pretrained(result.folder, dtype="auto", **trust).to(device)
            self._base: Any = whole.to(device)
        else:
            self._base = self._tuned = PeftModel.from_pretrained(whole, str(result.folder)).to(device)

    def answer(
        self, messages: Sequence[Message], side: Side, manner: Manner, hear: Hear = lambda _: None
    ) -> Answer:
        """What `side` says next; `hear` is told each piece of it."""
        given = self._prompt(messages).to(self._tuned.device)
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=manner.max_new_tokens,
            do_sample=manner.temperature > 0,
            eos_token_id=self._ends,
            pad_token_id=self.tokenizer.pad_token_id or self._ends[0],
            **({"temperature": manner.temperature, "top_p": manner.top_p} if manner.temperature > 0 else {}),
        )
        with self._turn, self._side(side) as model, torch.inference_mode():
            if manner.seed is not None:
                set_seed(manner.seed)
            made = model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                generation_config=settings,
                streamer=_Heard(self.tokenizer, hear),
            )
        new = made[0, given.shape[1] :].tolist()
        text = str(self.tokenizer.decode(new, skip_special_tokens=True)).strip()
        return Answer(text, given.shape[1], len(new), ended=bool(new) and new[-1] in self._ends)

    @contextmanager
    def _side(self, side: Side) -> Iterator[Any]:
        """The model that shall speak."""
        model = self._tuned if side == "tuned" else self._base
        beside = model.disable_adapter() if side == "base" and isinstance(model, PeftModel) else nullcontext()
        with beside:
            yield model

    def _prompt(self, messages: Sequence[Message]) -> torch.Tensor:
        """Token ids, (1, length): by the chat template, or where there is none the texts as they are."""
        if self.tokenizer.chat_template:
            found: torch.Tensor = self.tokenizer.apply_chat_template(
                list(messages), add_generation_prompt=True, return_tensors="pt", return_dict=True
            )["input_ids"]
            return found
        text = "\n".join(one["content"] for one in messages)
        plain: torch.Tensor = self.tokenizer(text, return_tensors="pt")["input_ids"]
        return plain

    def _found_ends(self) -> list[int]:
        """Tokens that end an answer: the models' own, and what the chat template puts behind one."""
        known = {self.tokenizer.eos_token_id}
        said = self._tuned.generation_config.eos_token_id
        known |= set(said) if isinstance(said, list) else {said}
        if self.tokenizer.chat_template:
            talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "zyx"}]
            after = str(self.tokenizer.apply_chat_template(talk, tokenize=False)).rpartition("zyx")[2]
            behind = self.tokenizer(after, add_special_tokens=False)["input_ids"]
            known |= {
                token
                for token in behind[:1]
                if token in self.tokenizer.all_special_ids or _added(self.tokenizer, token)
            }
        return sorted(token for token in known if token is not None)


def _added(tokenizer: Any, token: int) -> bool:
    """Whether it is one of the tokens beside the words."""
    return token in tokenizer.added_tokens_decoder
