"""Prune: images of earlier code go, from the nodes, the registry and buildah's storage. What this checkout needs stays."""

import json
import shutil
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass

from localcluster import addresses, images, nodes, programs, registry
from localcluster.addresses import Node
from localcluster.building import Buildah
from localcluster.nodes import Host
from localcluster.places import Places
from localcluster.steps import Steps

NOT_FOUND = 404
"""No image of that name was ever pushed."""
PRUNED = (*images.OURS, "lm-eval")
"""Names of images whose layers would pile up. A test builds the last one on top of the trainer's, anew where it is gone."""


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """`kept`: `name:tag` of the images that stay, of those in PRUNED."""

    places: Places
    kept: frozenset[str]
    steps: Steps

    def everywhere(self) -> None:
        """Nodes, registry, buildah, in this order."""
        before = shutil.disk_usage(self.places.cache).free
        started = set(nodes.started(self.places))
        every = [Host(Node(number), self.places) for number in range(1, addresses.MOST_NODES + 1)]
        for host in [host for host in every if host.content.exists()]:
            with self.steps.step(f"images of {host.node.name}", "a few seconds"):
                # Nobody can be asked there. It pulls anew what it needs when it is started.
                self._node(host) if host.node in started else shutil.rmtree(host.content, ignore_errors=True)
        with self.steps.step("images in the registry", "a few seconds"):
            self._registry()
        with self.steps.step("images in buildah's storage", "a few seconds"):
            self._buildah()
        freed = shutil.disk_usage(self.places.cache).free - before
        self.steps.say(f"{freed / (1 << 30):.1f} GiB are free now that were not")

    def _node(self, host: Host) -> None:
        """containerd knows an image by its tag, by its digest and by its id: all three have one target."""
        listed = [line.split()[:3] for line in host.ctr("images", "list").splitlines()[1:]]
        ours = tuple(f"{addresses.REGISTRY_NAME}/{name}:" for name in PRUNED)
        kept = {f"{addresses.REGISTRY_NAME}/{one}" for one in self.kept}
        old = {digest for name, _, digest in listed if name.startswith(ours) and name not in kept}
        old -= {digest for name, _, digest in listed if name in kept}
        if gone := [name for name, _, digest in listed if digest in old]:
            host.ctr("images", "remove", "--sync", *gone)

    def _registry(self) -> None:
        for name in PRUNED:
            digests = {tag: registry.digest(addresses.REGISTRY, name, tag) for tag in self._tags(name)}
            kept = {digest for tag, digest in digests.items() if f"{name}:{tag}" in self.kept}
            for digest in {*digests.values()} - kept:
                registry.delete(addresses.REGISTRY, name, digest)
        config = self.places.state / "registry.yaml"
        programs.run("docker-registry", "garbage-collect", "--delete-untagged", config)

    def _tags(self, name: str) -> Iterator[str]:
        address = f"http://{addresses.REGISTRY}/v2/{name}/tags/list"
        try:
            with registry.OPENER.open(address, timeout=10) as answer:
                yield from json.load(answer)["tags"] or ()
        except urllib.error.HTTPError as error:
            if error.code != NOT_FOUND:
                raise

    def _buildah(self) -> None:
        buildah = Buildah(self.places)
        try:
            listed = buildah.run("images", "--format", "{{.Name}}:{{.Tag}}").split()
            ours = {f"localhost/{name}" for name in PRUNED}
            kept = {f"localhost/{one}" for one in self.kept}
            if gone := [one for one in listed if one.rpartition(":")[0] in ours and one not in kept]:
                buildah.run("rmi", "--force", *gone)
            buildah.run("rmi", "--prune")
        finally:
            buildah.settle()
