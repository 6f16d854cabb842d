"""Licences of what our images carry, as SPDX expressions, and those that we accept.

`python tests/support/licences.py` writes docs/licences.md.
"""

import functools
import importlib.metadata
import pathlib

import license_expression

import lock_files

PATH = pathlib.Path(__file__).resolve().parents[2] / "docs" / "licences.md"
IMAGES = ("operator", "trainer-image")
NVIDIA = "LicenseRef-NVIDIA-Proprietary"
ALLOWED = {
    "0BSD": "",
    "Apache-2.0": "",
    "Apache-2.0 WITH LLVM-exception": "",
    "BSD-2-Clause": "",
    "BSD-3-Clause": "",
    "BSL-1.0": "",
    "CC0-1.0": "",
    "CNRI-Python": "",
    "ISC": "",
    "MIT": "",
    "MIT-0": "",
    "PSF-2.0": "",
    "Zlib": "",
    "MPL-2.0": "changes to its own files must be published; we change none",
    NVIDIA: "the CUDA libraries that torch loads; whoever passes the image on must accept NVIDIA's terms",
}
"""SPDX identifier, and what to know about it."""
WORDS = {
    "Apache Software License": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "ISC License (ISCL)": "ISC",
    "NVIDIA Proprietary Software": NVIDIA,
    "Other/Proprietary License": NVIDIA,
}
"""Words of packages that name no SPDX identifier. `Other/Proprietary` is taken for NVIDIA's of NVIDIA's packages alone."""
SILENT = {"cuda-toolkit": NVIDIA}
"""Packages whose metadata says nothing: what their pages say."""
NVIDIAS = ("nvidia-", "cuda-")
SPDX = license_expression.get_spdx_licensing()


@functools.cache
def of(name: str) -> str:
    """The SPDX expression of an installed package; KeyError where its words mean nothing to us."""
    found = SILENT.get(name) or _said(importlib.metadata.metadata(name))
    return held(name, found)


def held(name: str, expression: str) -> str:
    """The expression; KeyError where NVIDIA's terms would be somebody else's, for `Other/Proprietary` may mean anything."""
    if NVIDIA in expression and not name.startswith(NVIDIAS):
        raise KeyError(f"{name}: proprietary terms that nobody has read")
    return expression


def _said(metadata: importlib.metadata.PackageMetadata) -> str:
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classes = [
        one.split(" :: ")[-1] for one in metadata.get_all("Classifier", []) if one.startswith("License ::")
    ]
    free = (metadata.get("License") or "").split("\n")[0]
    return free if free in ALLOWED or " AND " in free else WORDS[classes[0] if classes else free]


def accepted(expression: str) -> bool:
    """Whether the terms can be met: of alternatives one, of several all."""
    return _accepted(SPDX.parse(expression))


def _accepted(node: license_expression.LicenseExpression) -> bool:
    if isinstance(node, license_expression.AND):
        return all(map(_accepted, node.args))
    if isinstance(node, license_expression.OR):
        return any(map(_accepted, node.args))
    return str(node) in ALLOWED


def carried() -> dict[str, dict[str, str]]:
    """Name to version to the images that have it."""
    found: dict[str, dict[str, str]] = {}
    for image in IMAGES:
        for pin in lock_files.pins(f"{image}/requirements.lock"):
            if pin.in_image:
                versions = found.setdefault(pin.name, {})
                versions[pin.version] = (
                    f"{versions[pin.version]}, {image}" if pin.version in versions else image
                )
    return dict(sorted(found.items()))


HEAD = """\
# Licences of what the images carry

Every Python package of both images, from the lock files; made from the code (`make generated`). Accepted are
{accepted}. {remarks}

| package | version | licence | image |
|---|---|---|---|
"""


def text() -> str:
    """The page."""
    rows = [
        f"| {name} | {version} | {of(name)} | {images} |"
        for name, versions in carried().items()
        for version, images in versions.items()
    ]
    remarks = "; ".join(f"{one}: {why}" for one, why in ALLOWED.items() if why)
    listed = ", ".join(f"`{one}`" for one in ALLOWED)
    return HEAD.format(accepted=listed, remarks=f"Of these, {remarks}.") + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
