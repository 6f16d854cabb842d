"""Sentences broken into lines between words: what is to be copied, a command between backticks or an address, stays whole."""

import re
import textwrap

COMMAND = re.compile(r"`[^`]*`")
KEPT = "\0"
"""A blank that is no place to break at."""


def broken(sentence: str, *, width: int, indent: int = 0) -> list[str]:
    """`sentence` in lines of at most `width`, if no single word is longer; all but the first begin with `indent` blanks."""
    wrapper = textwrap.TextWrapper(
        width=width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    whole = COMMAND.sub(lambda found: found[0].replace(" ", KEPT), sentence)
    return [line.replace(KEPT, " ") for line in wrapper.wrap(whole)] or [""]
