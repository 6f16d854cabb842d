"""Coverage-guided fuzzing of the readers and of what rows mean: `make fuzz`, FUZZ_SECONDS long.

The first byte chooses the name of the file, the rest is the file, packed by us where the name says so: else no input would
ever get through the checksums. What was found is kept in build/fuzz; a crash there is a bug, and becomes a test.
"""

import gzip
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["finetune_trainer.data", "csv", "json"]):
    import any_bytes
    from finetune_trainer.data.columns import USUAL
    from finetune_trainer.data.turns import SHAREGPT

import pyarrow as pa

import bad_input

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "fuzz"
MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory: a file is written for every input
FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


NAMES = (*SHAREGPT, *(name for names in USUAL.values() for name in names))
MORE = "role content from value weight tool_calls function name arguments type"
MARKS = r'NaN -Infinity 1e999 null true [] {} "" \\ud800 \\n \xff \xef\xbb\xbf PAR1 \x00\x00'
WORDS = (*(f'"{name}"' for name in (*NAMES, *MORE.split())), *MARKS.split())
"""What the mutations put together, as libFuzzer writes bytes."""


def one(data: bytes) -> None:
    """One input."""
    if not data:
        return
    name, content = any_bytes.NAMES[data[0] % len(any_bytes.NAMES)], data[1:]
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
    elif name.endswith(".zst"):
        content = pa.compress(content, codec="zstd", asbytes=True)
    any_bytes.understand(any_bytes.rows(FOLDER, name, content))


def seed(corpus: Path) -> None:
    """Begin with our own small files: those of the table of bad input, and good ones."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, (name, content) in enumerate(bad_input.files()):
        kind = next((at for at, known in enumerate(any_bytes.NAMES) if known.endswith(Path(name).suffix)), 0)
        (corpus / f"seed-{number:03d}").write_bytes(bytes([kind]) + content)


def main() -> None:
    """Fuzz for FUZZ_SECONDS (60 by default)."""
    seed(KEPT / "corpus")
    words = [word.replace('"', '\\"') for word in WORDS]
    (KEPT / "words").write_text("".join(f'"{word}"\n' for word in words), encoding="utf-8")
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=20",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]
    paths = [f"-artifact_prefix={KEPT}/", f"-dict={KEPT}/words"]
    atheris.Setup([sys.argv[0], *options, *paths, *sys.argv[1:], str(KEPT / "corpus")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
