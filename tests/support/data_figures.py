"""A dataset in numbers of which there is nothing to say."""

import numpy as np

from finetune_trainer.data.figures import Figures, Lengths, Source


def source(
    uri: str = "s3://data/tickets.jsonl",
    rows: int = 5000,
    seen: int | None = None,
    part: str = "train",
    form: str = "messages",
) -> Source:
    """A source whose rows are all used."""
    return Source(
        part=part,
        uri=uri,
        format=form,
        loss_on="Assistant",
        rows_read=rows,
        rows=rows,
        seen=rows if seen is None else seen,
    )


GOOD = Figures(
    read=5600,
    rows=5000,
    held=250,
    dropped={"ExactDuplicate": 200, "EmptyAnswer": 150},
    first={"ExactDuplicate": "tickets.jsonl line 9", "EmptyAnswer": "tickets.jsonl line 3"},
    cut=40,
    cut_places=("tickets.jsonl line 4 (1100 tokens)",),
    whole=512,
    tokens=Lengths.of(np.full(5000, 300, np.int32)),
    learned=Lengths.of(np.full(5000, 90, np.int32)),
    endless=0,
    quoting=0,
    quoting_place="",
    rendered=0,
    rendered_place="",
    broken=0,
    broken_place="",
    refusals=0,
    refusals_place="",
    copies=0,
    common_answer=60,
    mixed_prompts=100,
    contradictions=0,
    swapped=0,
    echoes=3,
    liked=0,
    disliked=0,
    longer_chosen=0,
    pairs=0,
    chosen_characters=0,
    rejected_characters=0,
    sources=(source(), source("s3://data/eval.jsonl", 250, 0, "eval")),
)
