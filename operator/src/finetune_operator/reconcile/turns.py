"""Who may take time of the event loop."""

import asyncio


class Turns:
    """One decision in each round of the event loop, however many workers could make one.

    What the watches bring is handed on in several rounds. Rounds of sixteen decisions were so long that another tenant's first job
    was heard of after a crowd's last one, before the fair queue could do anything for it.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def take(self) -> None:
        """Wait for one, first come, first served."""
        async with self._lock:
            await asyncio.sleep(0)
