"""What is mounted below our folders."""

from pathlib import Path

from localcluster import programs


def below(*folders: Path) -> list[Path]:
    """Mount points in or at the folders, deepest and latest first: the order to unmount them in."""
    return parse(Path("/proc/self/mountinfo").read_text(), *folders)


def parse(mountinfo: str, *folders: Path) -> list[Path]:
    """PURE: `below`, given the kernel's table. Spaces in paths are written as \\040 there."""
    points = [Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in mountinfo.splitlines()]
    points.reverse()  # one mounted over another comes off first; sorting keeps that order
    ours = [point for point in points if any(point.is_relative_to(folder) for folder in folders)]
    return sorted(ours, key=lambda point: -len(point.parts))


def unmount(*folders: Path) -> None:
    """Unmount all of it, lazily if something still holds on."""
    for point in below(*folders):
        if not programs.succeeds("umount", point):
            programs.succeeds("umount", "--lazy", point)
