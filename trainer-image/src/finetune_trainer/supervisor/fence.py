"""The right to write into a job's work area and output: the run that started last has it.

A node that dies takes its pod with it, or only its network: then the pod trains on, while the operator, after some time, has
started another. Each run of training takes the next number in the work area (`epochs/N`, made only if it is absent), and looks
before everything that it commits whether a later number stands there. One that is late commits nothing and ends.
"""

from finetune_trainer import errors
from finetune_trainer.storage import Store

FOLDER = "epochs"
MOST_TRIES = 100
"""Runs that take a number at the same moment: the operator starts one at a time."""


class Fence:
    """One run's number. Of several nodes the first takes it, for all."""

    def __init__(self, work: Store, epoch: int) -> None:
        self._work = work
        self.epoch = epoch

    @classmethod
    def raised(cls, work: Store) -> "Fence":
        """The next number of the work area `work`, from 1."""
        for _attempt in range(MOST_TRIES):
            epoch = max(_numbers(work), default=0) + 1
            if work.put_if_absent(f"{FOLDER}/{epoch}", b"a run of training has this number\n"):
                return cls(work, epoch)
        raise errors.InternalError(
            f"{work.uri_of(FOLDER)}: other runs of this job keep starting there; please report it"
        )

    def check(self) -> bool:
        """Whether this run's number still stands; who published a result, or a person, may have removed the work area.

        Raises `Superseded` where a later run has started.
        """
        numbers = _numbers(self._work)
        if (later := max(numbers, default=0)) > self.epoch:
            raise errors.Superseded(
                f"run {self.epoch} of this job's training was given up as lost, and run {later} has started; the older run "
                "writes nothing more"
            )
        return self.epoch in numbers


def _numbers(work: Store) -> set[int]:
    names = (item.key.removeprefix(f"{FOLDER}/") for item in work.list(FOLDER))
    return {int(name) for name in names if name.isdecimal()}
