"""What torch, its libraries and the kernel raise in a rank, as one of our errors."""

from finetune_trainer import errors

OUT_OF_MEMORY = (
    "OutOfMemoryError",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "DefaultCPUAllocator: can't allocate memory",
)
"""When the accelerator's memory is exhausted."""

DISK_FULL = (
    "No space left on device",
    "Disk quota exceeded",
    "inline_container.cc",  # torch.save tells no errno: its archive could not be written,
    "basic_ios::clear: iostream error",  # or not be finished
)
"""When scratch is."""

PEER_LOST = (
    "DistBackendError",
    "DistNetworkError",
    "DistStoreError",
    "Connection closed by peer",
    "Connection reset by peer",
)
"""When another rank has gone in the middle of something common."""


def known(error: BaseException) -> errors.TrainerError | None:
    """`error` as one of ours, by parts of what it is called or says; None where it is none that we know."""
    text = f"{type(error).__name__}: {error}"
    if any(part in text for part in OUT_OF_MEMORY):
        return errors.OutOfMemory(
            "the memory of the GPU (on CPU: of the pod) does not suffice; lower spec.training.maxLength, set spec.tuning.type to "
            "QLoRA, or use a larger GPU"
        )
    if any(part in text for part in DISK_FULL):
        return errors.ScratchFull(
            "the pod's scratch disk is full: a checkpoint, or the result, could not be written; raise spec.resources.scratch"
        )
    if any(part in text for part in PEER_LOST):
        return errors.PeerLost(
            "another training process went away in the middle of a step; see what that one says"
        )
    return None
