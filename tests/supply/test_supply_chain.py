"""What our images carry is listed, and may be passed on."""

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

import licences
import lock_files
import sbom


@pytest.fixture(params=sbom.OURS)
def image(request):
    return request.param


def test_the_sbom_is_one_by_its_own_schema(image):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.text(image)) is None


def test_the_sbom_lists_what_the_image_installs_with_its_files(image):
    components = json.loads(sbom.text(image))["components"]
    pins = [one for one in lock_files.pins(f"{image}/requirements.lock") if one.in_image]
    assert {(one["name"], one["version"]) for one in components} == {(one.name, one.version) for one in pins}
    assert len(components) == len(pins)
    for pin in pins:
        (component,) = [one for one in components if one["name"] == pin.name]
        files = {one["value"] for one in component["properties"] if one["name"] == sbom.FILE_HASH}
        assert {f"sha256:{one}" for one in files} == pin.hashes
        assert component["purl"] == f"pkg:pypi/{pin.name}@{pin.version}"


def test_the_same_lock_gives_the_same_bytes(image):
    assert sbom.text(image) == sbom.text.__wrapped__(image)


def test_every_licence_is_one_that_we_accept():
    refused = {
        name: licences.of(name) for name in licences.carried() if not licences.accepted(licences.of(name))
    }
    assert refused == {}


@pytest.mark.parametrize(
    ("expression", "accepted"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MIT AND (AGPL-3.0-only OR BSD-3-Clause)", True),
    ],
)
def test_an_expression_is_read_as_a_whole(expression, accepted):
    assert licences.accepted(expression) is accepted


def test_proprietary_terms_are_nvidias_alone():
    names = [name for name in licences.carried() if licences.of(name) == licences.NVIDIA]
    assert names
    assert all(name.startswith(licences.NVIDIAS) for name in names)
    with pytest.raises(KeyError, match="somebody: proprietary terms"):
        licences.held("somebody", licences.NVIDIA)


def test_no_licence_is_accepted_that_nobody_has():
    """The list is as short as it can be."""
    said = " ".join(licences.of(name) for name in licences.carried())
    assert [one for one in licences.ALLOWED if one not in said] == []


def test_the_page_is_of_today():
    assert licences.PATH.read_text() == licences.text(), "run `python tests/support/licences.py`"
