"""Whatever people say: what is learned are the assistant's words, as the template writes them, and the ends of its turns."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat_families import CASES, Case, answers, encoded, learned
from finetune_trainer.data.rows import Message

pytestmark = pytest.mark.slow  # hundreds of conversations for each template

PIECES = (
    "a", "B", "Paris", " ", "  ", "\n", "\n\n", "\t", ".", ":", "!?", "1234", "한국어", "서", "é", "e\u0301", "\u0301", "🙂",
    "👩\u200d💻", "\u200b", "assistant", "user", "model", "### Assistant:", "<|assistant|>", "<|user|>", "[INST]", "[/INST]",
    "<|im_end|>", "<|im_start|>", "<|eot_id|>", "</s>", "<s>", "<end_of_turn>", "<|end|>", "<|", "|>", "▁", "<0x0A>", "\\", '"',
    "{{ x }}", "{%", "<unk>", "<|endoftext|>", "ret", "urn",
)  # fmt: skip
WORDS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join).filter(str.strip)


@st.composite
def conversations(draw, case: Case):
    turns = [Message("system", draw(WORDS))] if case.system and draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [
            Message("user", draw(WORDS)),
            Message("assistant", draw(WORDS), learned=draw(st.booleans())),
        ]
    return turns


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_but_the_assistants_words_and_ends_of_turn_is_learned(case):
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(conversations(case))
    def holds(turns):
        one = encoded(case, turns)

        assert learned(case, one) == answers(case, turns)

    holds()
