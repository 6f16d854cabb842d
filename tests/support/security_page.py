"""The table of docs/security.md, made from docs/threats.yaml. `python tests/support/security_page.py` writes it."""

import pathlib
from typing import Any

import yaml

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "security.md"
BEGIN, END = "<!-- threats: made from threats.yaml -->", "<!-- end of threats -->"
WHO = {
    "author": "somebody who may create FineTuneJobs",
    "admin": "somebody who may do everything, by mistake",
    "data": "whoever wrote a model, data, a bucket or a library",
    "operator": "whoever holds a stolen token of the operator",
    "neighbour": "another pod, or another job",
}


def threats() -> list[dict[str, Any]]:
    """As they stand in the file."""
    found: list[dict[str, Any]] = yaml.safe_load((DOCS / "threats.yaml").read_text())
    return found


def table() -> str:
    """Markdown: a row for each, by who it comes from; what is left open in italics."""
    parts = []
    for who, told in WHO.items():
        rows = [one for one in threats() if one["who"] == who]
        parts.append(
            f"### From {told}\n\n| | threat | what stands against it | shown by |\n|---|---|---|---|"
        )
        parts[-1] += "".join(f"\n{_row(one)}" for one in rows)
    return "\n\n".join(parts)


def _row(one: dict[str, Any]) -> str:
    rest = f" *Left: {one['rest']}*" if "rest" in one else ""
    files = sorted({test.partition("::")[0] for test in one["tests"]})
    shown = ", ".join(f"[{pathlib.Path(file).stem}](../{file})" for file in files)
    return f"| {one['id']} | {one['threat']} | {one['against']}{rest} | {shown} |"


def with_table(page: str) -> str:
    """`page` with what stands between the markers replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
