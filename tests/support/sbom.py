"""An SBOM of each image's Python packages, from its lock file alone, in CycloneDX.

`python tests/support/sbom.py` writes dist/sbom/. The same lock file gives the same bytes: nothing random, no time.
"""

import functools
import hashlib
import json
import pathlib
import uuid

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import licences
import lock_files

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "dist" / "sbom"
OURS = {"operator": "finetune-operator", "trainer-image": "finetune-trainer"}
FILE_HASH = "finetune:file-sha256"
"""A package may be installed from any of several files: their hashes are properties, since none is the component's own."""


def bom(image: str) -> Bom:
    """What the image of that folder carries."""
    lock = (lock_files.ROOT / image / "requirements.lock").read_bytes()
    subject = Component(name=OURS[image], type=ComponentType.CONTAINER, bom_ref=OURS[image])
    found = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(lock).hexdigest()),
        metadata=BomMetaData(component=subject),
        components=[_component(pin) for pin in lock_files.pins(f"{image}/requirements.lock") if pin.in_image],
    )
    found.register_dependency(subject, found.components)
    return found


def _component(pin: lock_files.Pin) -> Component:
    url = PackageURL("pypi", name=pin.name, version=pin.version)
    hashes = sorted(one.removeprefix("sha256:") for one in pin.hashes)
    single = [HashType(alg=HashAlgorithm.SHA_256, content=hashes[0])] if len(hashes) == 1 else []
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        bom_ref=url.to_string(),
        purl=url,
        licenses=[LicenseFactory().make_from_string(licences.of(pin.name))],
        hashes=single,
        properties=[Property(name=FILE_HASH, value=one) for one in hashes],
    )


@functools.cache
def text(image: str) -> str:
    """The document."""
    document = json.loads(JsonV1Dot6(bom(image)).output_as_string())
    document["metadata"].pop("timestamp")  # what it was made from has none
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write both."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for image, name in OURS.items():
        file = FOLDER / f"{name}.cdx.json"
        file.write_text(text(image))
        print(f"{file.relative_to(lock_files.ROOT)}: {len(json.loads(text(image))['components'])} components")


if __name__ == "__main__":
    main()
