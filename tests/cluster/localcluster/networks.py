"""One network namespace is one host. Rules, bridges and routes stay inside; deleting the namespace removes them all."""

from pathlib import Path

from localcluster import addresses, programs
from localcluster.addresses import Node

NAMESPACES = Path("/run/netns")


def exists(node: Node) -> bool:
    return (NAMESPACES / node.namespace).exists()


def ensure(node: Node) -> bool:
    """Have the node's namespace with its cable and routes. True if it had to be made."""
    if exists(node) and _cable_is_plugged(node):
        return False
    remove(node)
    programs.run("ip", "netns", "add", node.namespace)
    _inside(node, "ip", "link", "set", "lo", "up")
    _inside(node, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    far = ("type", "veth", "peer", "name", "eth0", "netns", node.namespace)
    _outside(node, "ip", "link", "add", node.cable, *far)
    _outside(node, "ip", "address", "add", f"{node.gateway}/30", "dev", node.cable)
    _outside(node, "ip", "link", "set", node.cable, "up")
    _inside(node, "ip", "address", "add", f"{node.address}/30", "dev", "eth0")
    _inside(node, "ip", "link", "set", "eth0", "up")
    # Service addresses are looked up in the routing table before kube-proxy's rules replace them: some route must match.
    _inside(node, "ip", "route", "add", "default", "via", node.gateway)
    _outside(node, "ip", "route", "replace", _behind(node), "via", node.address)
    return True


def remove(node: Node) -> None:
    """Delete the namespace, and with it cable, routes and iptables rules."""
    if exists(node):
        programs.run("ip", "netns", "delete", node.namespace)
    # The kernel takes a moment to tear a namespace down; a new cable must not find the old one's name in use.
    _quietly_outside(node, "ip", "link", "delete", node.cable)


def left_over() -> list[str]:
    """Namespaces and cables that are ours."""
    found = [f"network namespace {path.name}" for path in NAMESPACES.glob("finetune-node*")]
    return found + [f"network interface {path.name}" for path in Path("/sys/class/net").glob("finetune*")]


def _behind(node: Node) -> str:
    """What the outside reaches by this node."""
    return addresses.EVERYTHING if node == addresses.FIRST else node.pod_cidr


def _cable_is_plugged(node: Node) -> bool:
    return programs.succeeds(
        "nsenter", f"--net={NAMESPACES / node.namespace}", "ip", "route", "get", node.gateway
    ) and programs.succeeds(*_prefix(node), "ip", "route", "get", node.address)


def _prefix(node: Node) -> tuple[str, ...]:
    """How to run a program at the outer end of the cable."""
    return () if node == addresses.FIRST else ("nsenter", f"--net={NAMESPACES / addresses.FIRST.namespace}")


def _outside(node: Node, *argv: str) -> None:
    programs.run(*_prefix(node), *argv)


def _quietly_outside(node: Node, *argv: str) -> None:
    programs.succeeds(*_prefix(node), *argv)


def _inside(node: Node, *argv: str) -> None:
    programs.run("nsenter", f"--net={NAMESPACES / node.namespace}", *argv)
