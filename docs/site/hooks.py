"""What the site does beyond mkdocs: pages and links outside docs/, the list of decisions, and a look at all that was built.

Pages are written for the repository's web view first. A link to a file outside docs/ is relative there; here it becomes
a link into the source repository (`repo_url`), after a look that the file exists. Some pages lie beside what they speak
of and are brought into the site (`BROUGHT`). Warnings end a strict build.
"""

import html.parser
import logging
import os
import pathlib
import re
import urllib.parse
from typing import Any

from mkdocs.structure.files import File, Files

log = logging.getLogger("mkdocs.hooks.site")

FENCE = re.compile(r"^\s*(```|~~~)")
LINK = re.compile(r"(?P<text>\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
ITEM = re.compile(r"^([-*+]|\d+\.) ")
TUTORIALS = ("alpaca", "multi-turn-chat", "qlora-then-dpo", "document-to-title", "from-openai")
BROUGHT = {
    "CONTRIBUTING.md": "contributing.md",
    "tests/cluster/README.md": "local-cluster.md",
    "charts/finetune-operator/README.md": "admin/chart.md",
    **{f"examples/{name}/README.md": f"tutorials/{name}.md" for name in TUTORIALS},
}
"""Pages outside docs/, from the root, and where the site has them."""
LOADED = {"img": "src", "script": "src", "source": "src", "link": "href"}
"""Elements whose address a browser asks for by itself, and the attribute that holds it."""


def on_files(files: Files, config: Any) -> Files:
    """The pages of docs/, and those that are brought in."""
    for path, uri in BROUGHT.items():
        files.append(
            File.generated(config, uri, abs_src_path=str(pathlib.Path(config.docs_dir).parent / path))
        )
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """A page's text as mkdocs shall read it."""
    source, docs = pathlib.Path(page.file.abs_src_path), pathlib.Path(config.docs_dir)
    lines: list[str] = []
    code = False
    for line in markdown.splitlines():
        if FENCE.match(line):
            lines.append(line if code else _language_alone(line))
            code = not code
        elif code:
            lines.append(line)
        else:
            if ITEM.match(line) and lines and _of_a_paragraph(lines[-1]):
                lines.append("")  # in the web view a list may follow a paragraph at once; here it may not
            lines.append(LINK.sub(lambda link: _for_the_site(link, page.file, docs, config.repo_url), line))
    if page.file.src_uri == "decisions/README.md":
        lines += ["", *(f"- [{_title(file)}]({file.name})" for file in sorted(source.parent.glob("0*.md")))]
    if source.parent.name in TUTORIALS:
        lines += [
            "",
            "## The job",
            "",
            "```yaml",
            (source.parent / "finetunejob.yaml").read_text().rstrip(),
            "```",
        ]
    return "\n".join(lines)


def on_post_build(config: Any, **_: Any) -> None:
    """Every link of every page leads to something that was built, and nothing is loaded from elsewhere."""
    site = pathlib.Path(config.site_dir)
    pages = {file: _Read(file.read_text()) for file in sorted(site.rglob("*.html"))}
    for file, read in pages.items():
        where = file.relative_to(site)
        for address in read.loads:
            if urllib.parse.urlsplit(address).netloc:
                log.warning("%s: loads %s from another server", where, address)
        for address in {*read.links, *read.loads}:
            split = urllib.parse.urlsplit(address)
            if split.scheme or split.netloc or where.name == "404.html":  # that one's are absolute
                continue
            target = (file.parent / urllib.parse.unquote(split.path)).resolve() if split.path else file
            if target.is_dir():
                target /= "index.html"
            if not target.is_file():
                log.warning("%s: links to %s, which is not there", where, address)
                continue
            place = urllib.parse.unquote(split.fragment)
            if target in pages and place not in pages[target].names:
                log.warning("%s: links to %s, and that page has no such place", where, address)


def _for_the_site(link: re.Match[str], page: File, docs: pathlib.Path, repository: str) -> str:
    """A link of a page, relative to where its source lies, as one of the site."""
    root, source = docs.parent, pathlib.Path(str(page.abs_src_path))
    target = (source.parent / urllib.parse.unquote(link["target"])).resolve()
    if not target.is_relative_to(root) or not target.exists():
        log.warning("%s: links to %s, which is not there", source.relative_to(root), link["target"])
        return link[0]
    if (path := str(target.relative_to(root))) in BROUGHT or target.is_relative_to(docs):
        there = BROUGHT.get(path) or str(target.relative_to(docs))
        address = os.path.relpath(there, pathlib.PurePosixPath(page.src_uri).parent)
    else:
        address = f"{repository.rstrip('/')}/{'tree' if target.is_dir() else 'blob'}/main/{path}"
    return f"{link['text']}{address}{link['anchor'] or ''})"


def _of_a_paragraph(line: str) -> bool:
    return bool(line.strip()) and not line.startswith((" ", "\t")) and not ITEM.match(line)


def _language_alone(fence: str) -> str:
    """An opening fence without the words that only our tests read: mkdocs takes a block with them for text."""
    return re.sub(r"^(\s*```\w+) .*", r"\1", fence)


def _title(file: pathlib.Path) -> str:
    return file.read_text().splitlines()[0].removeprefix("# ")


class _Read(html.parser.HTMLParser):
    """What a built page links to, what it loads, and which places in it have a name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.names: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """As HTMLParser calls it."""
        given = {name: value or "" for name, value in attrs}
        self.names.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        elif tag in LOADED and LOADED[tag] in given and given.get("rel") not in {"canonical", "next", "prev"}:
            self.loads.add(given[LOADED[tag]])
