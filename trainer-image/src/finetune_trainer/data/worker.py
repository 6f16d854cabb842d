"""A process that reads chunks: started by `workers`, told what to do over a pipe, gone when the pipe ends.

python -m finetune_trainer.data.worker DESCRIPTOR RECIPE SPOOL
"""

import pickle
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from finetune_trainer import cycles, helper
from finetune_trainer.data.chunks import Chunk
from finetune_trainer.data.reading import Reader
from finetune_trainer.data.spool import Spool, Spot

Answer = Spot | helper.Failure


def serve(pipe: Connection, reader: Reader, spool: Spool) -> None:
    """Answer each chunk, in order, until the pipe is closed: whoever started this process has ended, or wants no more."""
    while True:
        try:
            chunk: Chunk = pipe.recv()
        except EOFError:
            return
        pipe.send(answer(chunk, reader, spool))


def answer(chunk: Chunk, reader: Reader, spool: Spool) -> Answer:
    """Read a chunk and spool it."""
    return helper.tried(lambda: spool.add(*reader(chunk)))


def main() -> None:
    """Run one worker."""
    cycles.seldom()
    descriptor, recipe, spool = sys.argv[1:]
    with Path(recipe).open("rb") as file:
        reader = Reader(pickle.load(file))  # noqa: S301 - written by the process that started this one
    serve(Connection(int(descriptor)), reader, Spool(Path(spool)))
