"""docs/report-1280.png and docs/report-400.png: a report up to its most different answers, on a desk and on a telephone.

    PYTHONPATH=tests/support python tests/support/report_shots.py REPORT.html [--into FOLDER]

Needs a Chromium (on Debian: apt-get install chromium). What does not fit into the width of a window is an error.
"""

import argparse
import io
import sys
from pathlib import Path

import PIL.Image

import headless

DOCS = Path(__file__).parents[2] / "docs"
WIDTHS = (1280, 400)
COLOURS = 64
"""Of a picture: text and lines need no more, and the files stay small."""

END = """(() => {
  const heads = [...document.querySelectorAll('h2')];
  const after = heads.find((one) => ['More answers', 'Data'].includes(one.textContent));
  return Math.floor(after ? after.getBoundingClientRect().top + scrollY - 24 : document.body.scrollHeight);
})()"""
"""Where the most different answers end (px)."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("report", type=Path)
    parser.add_argument("--into", type=Path, default=DOCS, help="folder of the pictures (%(default)s)")
    given = parser.parse_args()
    if not given.report.is_file():
        print(f"report_shots: there is no {given.report}; make smollm2-report makes one", file=sys.stderr)
        return 1
    if (browser := headless.program()) is None:
        print("report_shots: no Chromium was found; on Debian: apt-get install chromium", file=sys.stderr)
        return 1
    with headless.page(browser) as page:
        for width in WIDTHS:
            page.open(given.report, width=width)
            if wide := overflowing(page, width):
                print(f"report_shots: wider than {width} px: {wide}", file=sys.stderr)
                return 1
            path = given.into / f"report-{width}.png"
            path.write_bytes(small(page.shot(width=width, height=page.value(END))))
            print(f"{path}: {path.stat().st_size // 1000} kB")
    return 0


def overflowing(page: headless.Page, width: int) -> list[str]:
    """Elements that reach over the right edge of a window of `width` px, and how they begin."""
    found: list[str] = page.value(
        "[...document.querySelectorAll('body *')]"
        f".filter((one) => one.getBoundingClientRect().right > {width + 1})"
        ".map((one) => one.tagName.toLowerCase() + ': ' + one.textContent.trim().slice(0, 60))"
    )
    return found


def small(png: bytes) -> bytes:
    """The same picture in few colours."""
    made = io.BytesIO()
    with PIL.Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=PIL.Image.Dither.NONE).save(
            made, "PNG", optimize=True
        )
    return made.getvalue()


if __name__ == "__main__":
    sys.exit(main())
