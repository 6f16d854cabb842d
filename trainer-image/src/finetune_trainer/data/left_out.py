"""What a person does where rows are left out, by the reason: for the advice, and for the error where none is left."""

COLUMNS = "see whether the right columns are read"
TURNS = f"fill in the empty turns, or {COLUMNS}"
EXAMINED = frozenset({"InEval", "NearEval"})
"""`dataset.eval` holds the row too."""
EMPTY = {
    "EmptyAnswer": TURNS,
    "EmptyPrompt": TURNS,
    "EmptyText": "fill in the text, or see whether the right column is read",
    "IdenticalAnswers": (f"the better (chosen) and the worse (rejected) answer must differ: {COLUMNS}"),
}


def cure(reason: str, method: str) -> str | None:
    """What to do about rows that have nothing to learn; None: the reason is another one."""
    if reason == "NothingLearned":
        return "remove weight: 0 from the turns that are to be learned" if method == "SFT" else COLUMNS
    return EMPTY.get(reason)
