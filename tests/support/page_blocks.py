"""Code blocks of a page: those that name a file in their first line (`# path/of/file`), and shell."""

import re
from dataclasses import dataclass

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
    return of_language(page, "sh")


@dataclass(frozen=True)
class Shell:
    """A shell block."""

    heading: str
    """The nearest heading above it."""
    text: str
    not_run: str
    """Why no test runs it: the comment `<!-- not run: REASON -->` above it; empty where there is none."""

    @property
    def commands(self) -> list[str]:
        """One for each line; a line that ends in a backslash goes on."""
        return self.text.replace("\\\n", " ").splitlines()


HEADING = re.compile(r"^#+ (?P<heading>.+)$", re.MULTILINE)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->\n$")


def shell(page: str) -> list[Shell]:
    """Shell blocks with what stands above them."""
    found = []
    for block in BLOCK.finditer(page):
        if block["language"] == "sh":
            above = page[: block.start()]
            headings, excuse = HEADING.findall(BLOCK.sub("", above)), NOT_RUN.search(above)
            found.append(Shell(headings[-1], block["text"], excuse["reason"] if excuse else ""))
    return found


def of_language(page: str, language: str) -> list[str]:
    """Blocks of that language."""
    return [block["text"] for block in BLOCK.finditer(page) if block["language"] == language]
