"""What a run was made with: for the manifest and the report."""

import importlib.metadata
import platform

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "finetune-trainer")
"""Whose versions are told."""


def versions() -> dict[str, str]:
    """Package -> version."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def described() -> dict[str, str]:
    """Versions, and what they ran on."""
    return {
        **versions(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }
