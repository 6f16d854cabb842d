"""Whom the Hub's library trusts: the usual authorities, and the profile's, of which it could not know."""

import functools

from finetune_trainer.layout import Layout
from finetune_trainer.storage import credentials, ranged


def trust(layout: Layout) -> None:
    """Make the library trust whom this pod trusts. Its client is one for the whole process."""
    _trust(credentials.authorities(layout), layout)


@functools.lru_cache(maxsize=1)
def _trust(authorities: str | None, layout: Layout) -> None:
    """`authorities` only tells whether anything has changed since the last call."""
    import httpx2  # noqa: PLC0415 - what the Hub's library is made of: 0.3 s that runs without a Hub need not wait for
    from huggingface_hub import set_client_factory  # noqa: PLC0415

    del authorities
    context = ranged.trust(layout)
    set_client_factory(lambda: httpx2.Client(follow_redirects=True, timeout=None, verify=context))
