"""vLLM's own server for the same result."""

from finetune_operator.status.serving import VLLM_RANKS
from kubectl_finetune import errors
from kubectl_finetune.talking.result import Result

BASE = "base"
"""What the model is called that was there before."""


def command(program: str, result: Result, base: tuple[str, str | None], *, host: str, port: int) -> list[str]:
    """Its command line: the adapter over its base, or the whole weights."""
    listen = ("--host", host, "--port", str(port))
    if result.full:
        return [program, "serve", str(result.folder), "--served-model-name", result.name, *listen]
    place, revision = base
    rank = next((one for one in VLLM_RANKS if one >= (result.rank or 1)), None)
    if rank is None:
        raise errors.Mistake(
            f"vLLM takes adapters up to rank {VLLM_RANKS[-1]}, and this one has rank {result.rank}; use --engine transformers"
        )
    chosen = ("--revision", revision) if revision else ()
    adapter = (
        "--enable-lora",
        "--max-lora-rank",
        str(rank),
        "--lora-modules",
        f"{result.name}={result.folder}",
    )
    return [program, "serve", place, *chosen, "--served-model-name", BASE, *adapter, *listen]
