"""Code blocks of a page that name a file in their first line: `# path/of/file`."""

import re

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
TITLE = re.compile(r"# (?P<path>\S+\.\w+)\n")


def files(page: str) -> dict[str, str]:
    """What such files hold, without that line."""
    found = {}
    for block in BLOCK.finditer(page):
        title = TITLE.match(block["text"])
        if title:
            found[title["path"]] = block["text"][title.end() :]
    return found


def commands(page: str) -> list[str]:
    """Shell blocks."""
    return [block["text"] for block in BLOCK.finditer(page) if block["language"] == "sh"]
