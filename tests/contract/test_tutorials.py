"""Each example that retells a tutorial makes the data that its page tells of, and its page tells it truly."""

import json

import pytest

import tutorials


@pytest.mark.parametrize("name", tutorials.ROWS)
def test_its_script_makes_the_rows_that_its_page_tells_of_and_the_same_ones_again(name, tmp_path):
    first = tutorials.make_data(name, tmp_path / "first")
    second = tutorials.make_data(name, tmp_path / "second")

    assert {file.name: len(rows(file)) for file in first} == tutorials.ROWS[name]
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    page = (tutorials.FOLDER / name / "README.md").read_text()
    for file, count in tutorials.ROWS[name].items():
        assert f"`{file}`" in page
        assert str(count) in page


@pytest.mark.parametrize("name", tutorials.ROWS)
def test_its_job_reads_what_its_script_makes(name):
    named = {
        source["uri"]
        for job in tutorials.jobs(name)
        for part in ("train", "eval")
        for source in job["spec"]["dataset"].get(part, [])
    }

    assert named == {f"s3://team-a/{file}" for file in tutorials.ROWS[name]}


def test_no_place_and_no_code_and_no_function_is_on_both_sides(tmp_path):
    titles = files("document-to-title", tmp_path)
    places = [{row["title"].split()[0] for row in titles[file]} for file in ("train.jsonl", "held-out.jsonl")]
    chats = files("from-openai", tmp_path)
    answers = [
        {row["messages"][-1]["content"] for row in chats[file]}
        for file in ("training.jsonl", "validation.jsonl")
    ]
    library = files("qlora-then-dpo", tmp_path)
    functions = [
        {row["prompt"] for row in library["answers.jsonl"]},
        {row["question"] for row in library["pairs.jsonl"]},
    ]

    for one, other in (places, answers, functions):
        assert one
        assert other
        assert not one & other


def files(name, folder):
    """The rows of each file of an example."""
    return {file.name: rows(file) for file in tutorials.make_data(name, folder / name)}


def rows(file):
    return [json.loads(line) for line in file.read_text().splitlines()]
