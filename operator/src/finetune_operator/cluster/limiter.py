"""A token bucket: so many requests a second, so many at once."""

import asyncio


class TokenBucket:
    """Callers wait their turn, in order."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, float(burst)
        self._tokens = float(burst)
        self._at: float | None = None

    async def take(self) -> None:
        """Return when one more request is due. A debt is taken at once, so that nobody overtakes."""
        now = asyncio.get_running_loop().time()
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1.0
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._rate)
