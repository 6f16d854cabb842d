"""What torch and the kernel say, in our words."""

import errno
import os

import pytest

from finetune_trainer import errors, rank_errors


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (OutOfMemoryError("tried to allocate"), errors.OutOfMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), errors.OutOfMemory),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), errors.ScratchFull),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), errors.ScratchFull),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), errors.ScratchFull),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), errors.ScratchFull),
        (RuntimeError("basic_ios::clear: iostream error"), errors.ScratchFull),
        (RuntimeError("[/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1"), errors.PeerLost),
    ],
)  # fmt: skip
def test_known_by_what_they_are_called_or_say(error: BaseException, known: type):
    assert type(rank_errors.known(error)) is known


def test_what_nobody_knows_stays_what_it_is():
    assert rank_errors.known(ValueError("a bug")) is None
