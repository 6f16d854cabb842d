"""Which of how many a rank is, as the launcher told it."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune_trainer import config, errors


@dataclass(frozen=True)
class Place:
    """One rank's place in its gang."""

    rank: int
    """From 0, over all nodes."""
    world: int
    """Ranks in all."""


def told(environment: Mapping[str, str], resources: config.Resources) -> Place:
    """The place that `environment` tells. Raises `InternalError` where it is not one of those that were promised.

    Several launchers start single processes without a word, each of which would train alone into the same folder.
    """
    promised = resources.processes
    said = {name: environment.get(name) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    if promised == 1 and set(said.values()) == {None}:
        return Place(rank=0, world=1)
    try:
        rank, world, local = (int(value or "") for value in said.values())
    except ValueError:
        rank = world = local = -1
    if world != promised or not 0 <= rank < world or local != rank % resources.processes_per_node:
        raise errors.InternalError(
            f"{promised} processes were promised, {resources.processes_per_node} of them on each node, and the launcher set "
            f"{', '.join(f'{name}={value}' for name, value in said.items())}; nothing was trained, please report it"
        )
    return Place(rank=rank, world=world)
