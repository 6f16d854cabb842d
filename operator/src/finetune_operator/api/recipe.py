"""How a job trains: tuning, training, evaluation, checkpoints. Names are TRL's, PEFT's and transformers'."""

from typing import Annotated, Any, Literal

import pydantic

from finetune_operator.api.base import JobRef, Value, rule, rules, with_rules
from finetune_operator.api.eval_tasks import EvalTask
from finetune_operator.api.sources import ScoringModel

Positive = Annotated[int, pydantic.Field(ge=1)]
ModuleName = Annotated[str, pydantic.Field(min_length=1, max_length=256)]


class Lora(Value):
    """Low-rank adapters, in PEFT's words."""

    rank: Annotated[int, pydantic.Field(ge=1, le=1024)] = 16
    """Rank of the update (PEFT's `r`)."""
    alpha: Annotated[float, pydantic.Field(gt=0, le=4096)] | None = None
    """Scale (PEFT's `lora_alpha`). Absent: twice the rank."""
    dropout: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Dropout on the adapter's input."""
    target_modules: Annotated[list[ModuleName], pydantic.Field(min_length=1, max_length=64)] = pydantic.Field(
        default=["all-linear"]
    )
    """Names of the modules that get an adapter; `all-linear` is every linear layer but the head."""
    dora: bool = False
    """Weight-decomposed adapters."""
    rslora: bool = False
    """Rank-stabilised scale."""
    modules_to_save: Annotated[list[ModuleName], pydantic.Field(max_length=16)] = pydantic.Field(default=[])
    """Modules trained and saved whole."""


class Quantization(Value):
    """How QLoRA holds the base model, in bitsandbytes' words."""

    type: Literal["nf4", "fp4"] = "nf4"
    """4-bit data type."""
    double: bool = True
    """Quantise the quantisation constants too."""


class Tuning(Value):
    """Which weights learn."""

    type: Literal["LoRA", "QLoRA", "Full"] = "LoRA"
    """LoRA: adapters over frozen weights. QLoRA: over 4-bit weights. Full: all weights."""
    lora: Lora = Lora()
    """Settings of the adapters."""
    quantization: Quantization = Quantization()
    """Settings of the 4-bit base."""


class EarlyStopping(Value):
    """Stop when held-out loss no longer falls."""

    patience: Positive = 3
    """Evaluations without improvement."""
    threshold: Annotated[float, pydantic.Field(ge=0)] = 0.0
    """Smallest change that counts."""


class Dpo(Value):
    """Preference settings, in TRL's words."""

    beta: Annotated[float, pydantic.Field(gt=0)] | None = None
    """How close to the reference DPO and KTO stay; ORPO: how much the odds of the rejected answer count. 0.1 if absent."""
    loss_type: (
        Annotated[
            list[Annotated[str, pydantic.Field(min_length=1, max_length=64)]],
            pydantic.Field(min_length=1, max_length=4),
        ]
        | None
    ) = None
    """TRL's loss types: several of DPO's are added up, KTO takes one, ORPO none."""
    label_smoothing: Annotated[float, pydantic.Field(ge=0, lt=0.5)] | None = None
    """Share of labels taken to be wrong; known to DPO's robust, exo_pair, aot and aot_unpaired."""


class Training(Value):
    """How the weights learn. What is not set is chosen from model, data and tuning type, and shown in the status."""

    model_config = with_rules(
        rule(
            "!(has(self.epochs) && has(self.maxSteps))",
            "set epochs or maxSteps, not both: epochs counts passes over the data, maxSteps counts optimiser steps",
        ),
    )

    epochs: Annotated[float, pydantic.Field(gt=0, le=1000)] | None = None
    """Passes over the data."""
    max_steps: Positive | None = None
    """Optimiser steps."""
    learning_rate: Annotated[float, pydantic.Field(gt=0, le=1)] | None = None
    """Peak learning rate."""
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    """Shape of the learning rate over time."""
    warmup_ratio: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.03
    """Share of the steps in which the learning rate rises."""
    global_batch_size: Annotated[int, pydantic.Field(ge=1, le=65536)] | None = None
    """Rows per optimiser step, over all processes."""
    micro_batch_size: Annotated[
        int | Literal["Auto"],
        pydantic.Field(
            json_schema_extra={
                "x-kubernetes-int-or-string": True,
                **rules(
                    rule(
                        "type(self) == int ? self >= 1 && self <= 65536 : self == 'Auto'",
                        "must be Auto or a whole number of rows from 1 to 65536",
                    )
                ),
            }
        ),
    ] = "Auto"
    """Rows per forward pass of one process; Auto takes what fits. Halved, for the same batch per step, where memory runs out."""
    max_length: Annotated[int, pydantic.Field(ge=8, le=1048576)] = 1024
    """Longest row (tokens); longer ones are cut, and counted."""
    packing: bool = False
    """Put several rows into one sequence of at most `maxLength`, isolated from each other (SFT). Batches then count such packs."""
    loss_on: Literal["Assistant", "Completion", "All"] | None = None
    """Which tokens are learned: the assistant's turns, the completion, or everything. Absent: Assistant for conversations,
    Completion for prompt-completion, All for text."""
    optimizer: Literal[
        "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor"
    ] = "adamw_torch_fused"
    """Optimiser, in transformers' words."""
    weight_decay: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.0
    """Weight decay."""
    max_grad_norm: Annotated[float, pydantic.Field(gt=0)] = 1.0
    """Gradient clipping."""
    precision: Literal["Auto", "bf16", "fp16", "fp32"] = "Auto"
    """Arithmetic; Auto is bf16 where the GPU has it and fp32 on CPU."""
    activation_checkpointing: Literal["Auto", "On", "Off"] = "Auto"
    """Trade time for memory; Auto is On on GPU and Off on CPU."""
    group_by_length: bool = False
    """Put rows of similar length into one batch."""
    seed: Annotated[int, pydantic.Field(ge=0, le=4294967295)] = 42
    """Seed of everything random."""
    neftune_noise_alpha: Annotated[float, pydantic.Field(gt=0)] | None = None
    """Noise on the embeddings."""
    early_stopping: EarlyStopping | None = None
    """Stop when held-out loss no longer falls."""
    dpo: Dpo | None = None
    """Settings of DPO, ORPO and KTO."""
    extra: Annotated[dict[str, Any], pydantic.Field(max_length=64)] | None = pydantic.Field(
        default=None, json_schema_extra={"x-kubernetes-preserve-unknown-fields": True}
    )
    """Further settings of the trainer, checked against its own fields."""


_FIGURE = r"(base|tuned)[.][A-Za-z][A-Za-z0-9]*"
_NUMBER = r"([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]+)?"
_TERM = rf"[ (]*([-+][ (]*)?({_FIGURE}|{_NUMBER})[ )]*"
_SIDE = f"{_TERM}([-+*/]{_TERM})*"
GATE = f"^{_SIDE}(<|<=|>|>=){_SIDE}$"
"""One comparison of figures. All but the balance of its parentheses, and which figures there are, which Prepare looks at."""


class BertScore(Value):
    """What the metric bertscore compares answers by."""

    model: ScoringModel
    """An encoder in the manner of BERT, as a Hugging Face folder with safetensors weights; it runs on CPU."""
    layer: Annotated[int, pydantic.Field(ge=1, le=512)] | None = None
    """Whose output is compared, counted from 1; the last if absent."""


class Evaluation(Value):
    """How good the result is, beside the base model."""

    model_config = with_rules(
        rule(
            "has(self.bertScore) == (has(self.metrics) && self.metrics.exists(name, name == 'bertscore'))",
            "the metric bertscore and the field bertScore belong together: name the scoring model in bertScore.model.uri, or leave "
            "both out",
        ),
    )

    every_steps: Positive | None = None
    """Optimiser steps between two evaluations during training. Absent: only before and after it."""
    metrics: Annotated[
        list[
            Literal["loss", "perplexity", "tokenAccuracy", "rouge", "bleu", "chrf", "exactMatch", "bertscore"]
        ],
        pydantic.Field(max_length=8),
    ] = pydantic.Field(default=["loss", "perplexity"])
    """What is measured on the held-out rows, of base and tuned model alike."""
    samples: Annotated[
        list[Annotated[str, pydantic.Field(min_length=1, max_length=8192)]], pydantic.Field(max_length=64)
    ] = pydantic.Field(default=[])
    """Prompts answered by the base and by the tuned model."""
    max_answers: Annotated[int, pydantic.Field(ge=1, le=10000)] = 64
    """At most this many held-out rows are answered for rouge, bleu, chrf, exactMatch and bertscore; drawn with
    `spec.training.seed`."""
    max_new_tokens: Annotated[int, pydantic.Field(ge=1, le=4096)] = 128
    """Longest answer (tokens)."""
    bert_score: BertScore | None = None
    """The scoring model of bertscore."""
    tasks: Annotated[list[EvalTask], pydantic.Field(min_length=1, max_length=8)] | None = None
    """Tasks of lm-eval over rows of one's own, for trainer images that have lm-eval."""
    gate: Annotated[
        list[
            Annotated[
                str,
                pydantic.Field(
                    min_length=1,
                    max_length=200,
                    json_schema_extra=rules(
                        rule(
                            f"self.matches('{GATE}')",
                            "must be one comparison of figures of base and tuned, for example: tuned.loss < 0.9 * base.loss",
                        )
                    ),
                ),
            ]
        ],
        pydantic.Field(max_length=16),
    ] = pydantic.Field(default=[])
    """What must hold before anything is published: comparisons like `tuned.loss < base.loss`, all of which must be true."""
    keep_best: bool = False
    """Publish the step with the lowest held-out loss instead of the last; measured every `everySteps`."""


class ResumeFrom(Value):
    """Go on from another job's last checkpoint."""

    job_ref: JobRef
    """A failed FineTuneJob of this namespace."""


class Checkpoint(Value):
    """When training is saved, so that an interruption costs little."""

    model_config = with_rules(
        rule("!(has(self.everyMinutes) && has(self.everySteps))", "set everyMinutes or everySteps, not both"),
    )

    every_minutes: Annotated[float, pydantic.Field(gt=0)] | None = None
    """Minutes between checkpoints. Absent, and without `everySteps`: 10."""
    every_steps: Positive | None = None
    """Steps between checkpoints."""
    keep: Annotated[int, pydantic.Field(ge=1, le=100)] = 2
    """How many are kept."""
    resume_from: ResumeFrom | None = None
    """Go on from another job's last checkpoint."""
