"""The table of values in the chart's README, made from the comments in values.yaml.

`python tests/support/chart_values.py` writes it anew; a contract test holds the two together.
"""

import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "charts" / "finetune-operator"
BEGIN, END = "<!-- values: made from values.yaml -->\n", "<!-- end of values -->\n"
KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z]+):")


def documented(text: str) -> Iterator[tuple[str, str]]:
    """Path and comment of each value that has one."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# ").rstrip())
        elif key := KEY.match(line):
            path = [*path[: len(key["indent"]) // 2], key["name"]]
            if comment:
                yield ".".join(path), " ".join(comment)
            comment = []
        else:
            comment = []


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Paths of all values that hold no further ones."""
    if not isinstance(value, dict) or not value:
        yield path
        return
    for name, inner in value.items():
        yield from leaves(inner, f"{path}.{name}" if path else name)


def at(values: Any, path: str) -> Any:
    """The value at a path."""
    for name in path.split("."):
        values = values[name]
    return values


def table(text: str) -> str:
    """Markdown rows: value, default, what it is."""
    values = yaml.safe_load(text)
    rows = [
        f"| `{path}` | `{json.dumps(at(values, path))}` | {comment.replace('|', chr(92) + '|')} |"
        for path, comment in documented(text)
    ]
    return "\n".join(["| value | default | what |", "|---|---|---|", *rows, ""])


def readme_with_table(readme: str, values: str) -> str:
    """The README with today's table in it."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(values)}\n{END}{after}"


def main() -> None:
    """Write the README's table."""
    readme = CHART / "README.md"
    readme.write_text(readme_with_table(readme.read_text(), (CHART / "values.yaml").read_text()))


if __name__ == "__main__":
    main()
