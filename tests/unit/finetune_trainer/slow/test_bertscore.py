"""BERTScore against the sums of its paper, made here by hand, and in a run that trains."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

import trainer_runs
import trainer_tiny_encoder
from finetune_trainer import bertscore, comparing, errors, fine_tuning, prepared
from finetune_trainer.interruption import Interruption
from finetune_trainer.layout import Layout
from finetune_trainer.task import Task
from trainer_processes import ran

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated"),
]

PAIRS = [
    ("it is the number 7 after the blue whale .", "it is 7 ."),
    ("whale", "after 3 comes 4 ."),
    ("it is 5 .", "it is 5 ."),
    ("blue blue blue 1 2 3 4 5 6", "a blue whale swims after the number 9 ."),
]
"""Neither side is in the order of its lengths."""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "encoder"
    trainer_tiny_encoder.build(folder)
    return folder


def by_hand(folder: Path, layer: int, answer: str, own: str) -> tuple[float, float, float]:
    """Each token's best match on the other side, by the cosine of the layer's output; special tokens left out."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def vectors(text: str) -> Any:
        with torch.inference_mode():
            made = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True)
        found = made.hidden_states[layer][0, 1:-1].numpy()
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    alike = vectors(answer) @ vectors(own).T
    precision, recall = alike.max(axis=1).mean(), alike.max(axis=0).mean()
    return precision, recall, 2 * precision * recall / (precision + recall)


def scores(pairs: list[tuple[str, str]], folder: Path, layer: int | None = None) -> list[float]:
    return list(bertscore.scores(pairs, folder, layer, lambda _: None).values())


@pytest.mark.parametrize("layer", [1, 2, trainer_tiny_encoder.LAYERS])
def test_it_is_what_the_paper_says_of_every_layer(encoder, layer):
    expected = np.mean([by_hand(encoder, layer, *pair) for pair in PAIRS], axis=0)
    assert scores(PAIRS, encoder, layer) == pytest.approx(expected.tolist(), abs=1e-5)


def test_the_last_layer_is_taken_where_none_is_named(encoder):
    assert scores(PAIRS, encoder) == scores(PAIRS, encoder, trainer_tiny_encoder.LAYERS)
    assert scores(PAIRS, encoder) != scores(PAIRS, encoder, 1)


def test_the_order_of_the_rows_changes_nothing(encoder):
    assert scores(PAIRS[::-1], encoder) == pytest.approx(scores(PAIRS, encoder), abs=1e-6)


def test_the_same_text_is_alike_and_an_empty_one_is_not(encoder):
    assert scores([PAIRS[2]], encoder) == pytest.approx([1.0] * 3, abs=1e-5)
    assert scores([("", "it is 5 .")], encoder) == [0.0] * 3
    assert scores([("", "")], encoder) == [1.0] * 3


def test_a_text_beyond_its_positions_is_cut(encoder):
    assert scores([("whale " * 2000, "whale " * 2000)], encoder) == pytest.approx([1.0] * 3, abs=1e-4)


def test_it_moves_no_dice_of_the_training(encoder):
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    scores(PAIRS[:1], encoder)
    assert torch.equal(torch.rand(4), expected)


def test_weights_of_another_model_are_refused(encoder, tmp_path):
    broken = tmp_path / "encoder"
    shutil.copytree(encoder, broken)
    settings = json.loads((broken / "config.json").read_text())
    (broken / "config.json").write_text(json.dumps({**settings, "num_hidden_layers": 4}))
    with pytest.raises(
        errors.UnsupportedModelFiles, match=r"\d+ of the encoder's weights are missing, encoder\.layer\.3"
    ):
        bertscore.load(broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(errors.UnsupportedModelFiles, match="the weights cannot be loaded"):
        bertscore.load(broken)


def a_run(root: Path, encoder: Path, *, layer: int, gate: str) -> tuple[Layout, Task]:
    """A prepared run whose held-out row has an answer of its own."""
    judged = {"metrics": ["loss", "bertscore"], "gate": [gate]}
    judged |= {"bertScore": {"model": {"uri": "pvc://models/encoder"}, "layer": layer}}
    layout = trainer_runs.pod(root, evaluation=judged)
    layout.make_folders()
    ready = trainer_runs.prepare_by_hand(layout.dataset)
    sample = {
        "source": "held-out",
        "messages": [{"role": "user", "content": "Hello?"}],
        "inputIds": [5, 6, 7],
        "expected": "it is 5 .",
    }
    (layout.dataset / prepared.SAMPLES).write_text(json.dumps([sample]))
    facts = prepared.BaseModelFacts(id="e", uri="pvc://models/encoder", revision="sha256:" + "1" * 64)
    ready = ready.model_copy(update={"scorer": facts})
    (layout.dataset / prepared.DOCUMENT).write_text(ready.model_dump_json(by_alias=True))
    given = Task(
        run=layout.run, attempt=1, dataset=layout.dataset, model=layout.claims / "models/tiny", scorer=encoder,
        progress=layout.progress, work=layout.scratch / "ranks",
    )  # fmt: skip
    given.work.mkdir(parents=True)
    return layout, given


def test_a_run_tells_base_and_tuned_in_result_card_and_report(encoder, tmp_path):
    _, given = a_run(tmp_path / "pod", encoder, layer=2, gate="tuned.bertScoreF1 <= 1.001")

    fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()

    found = json.loads(given.trained.read_text())["evaluation"]
    assert found["answered"] == 1
    samples = json.loads((given.artefact / "samples.json").read_text())
    for side in ("base", "tuned"):
        expected = scores([(samples[0][side].strip(), "it is 5 .")], encoder, 2)
        names = ("bertScorePrecision", "bertScoreRecall", "bertScoreF1")
        assert [found[side]["other"][name] for name in names] == pytest.approx(expected, abs=1e-6)
    for page in ("README.md", "report.html"):
        assert "bertScoreF1" in (given.artefact / page).read_text()
    assert (
        "pvc://models/encoder, sha256:" + "1" * 64 + ", layer 2"
        in (given.artefact / "report.html").read_text()
    )


def test_a_gate_over_it_holds_a_result_back(encoder, tmp_path):
    _, given = a_run(tmp_path / "pod", encoder, layer=2, gate="tuned.bertScoreF1 > 1.5")
    with pytest.raises(errors.GateNotMet, match=r"tuned\.bertScoreF1 > 1\.5 \(tuned\.bertScoreF1 is "):
        fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()


def test_one_that_cannot_be_loaded_ends_the_run_before_it_trains(encoder, tmp_path):
    _, given = a_run(tmp_path / "pod", tmp_path / "broken", layer=2, gate="tuned.loss < 100")
    trainer_tiny_encoder.build_small(tmp_path / "broken")
    with pytest.raises(errors.UnsupportedModelFiles, match="the weights cannot be loaded"):
        fine_tuning.FineTuning(given, Interruption(), rank=0, world=1).go()
    assert not (given.work / comparing.BASE).exists()


def test_the_base_is_asked_again_where_another_model_judges(encoder, tmp_path):
    """A job that goes on from another's checkpoint finds what that base was measured at."""
    asked = set()
    for layer in (1, 2):
        layout, given = a_run(tmp_path / f"pod-{layer}", encoder, layer=layer, gate="tuned.loss < 100")
        ran = fine_tuning.FineTuning(given, Interruption(), rank=0, world=1)
        asked.add(ran._asking.digest)
        assert layout.run.is_file()
    assert len(asked) == 2


def test_both_stages_as_their_pods_run_them(tmp_path):
    """Real processes, each without the libraries that its run leaves out."""
    judged = {"metrics": ["loss", "bertscore"], "maxAnswers": 2, "maxNewTokens": 4}
    judged |= {"bertScore": {"model": {"uri": "pvc://models/encoder"}, "layer": 2}}
    layout = trainer_runs.pod(tmp_path / "pod", evaluation=judged, training={"maxSteps": 2})
    trainer_tiny_encoder.build(layout.claims / "models/encoder")

    digest = ran(layout, "prepare", "--attempt", "1")["result"]["dataset"]["digest"]
    told = ran(layout, "train", "--attempt", "1", "--prepared", digest)

    assert told["reason"] == "Published"
    found = told["result"]["evaluation"]
    assert found["answered"] == 2
    for side in ("base", "tuned"):
        assert {"bertScorePrecision", "bertScoreRecall", "bertScoreF1"} == set(found[side]["other"])
