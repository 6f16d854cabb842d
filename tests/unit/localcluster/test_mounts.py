from pathlib import Path

from localcluster import mounts

TABLE = """\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 21 0:40 / /run/cluster/node1/rootfs rw - overlay overlay rw
41 40 0:41 / /run/cluster/node1/rootfs/dev/shm rw - tmpfs tmpfs rw
42 21 0:42 / /run/cluster-of-others rw - tmpfs tmpfs rw
43 21 0:43 / /run/cluster/with\\040space rw - tmpfs tmpfs rw
44 21 0:44 / /run/cluster/node1/rootfs rw - tmpfs later rw
45 21 0:45 / /srv/cluster rw - tmpfs tmpfs rw
"""


def test_only_what_is_below_our_folders_deepest_first():
    assert mounts.parse(TABLE, Path("/run/cluster"), Path("/srv/cluster")) == [
        Path("/run/cluster/node1/rootfs/dev/shm"),
        Path("/run/cluster/node1/rootfs"),
        Path("/run/cluster/node1/rootfs"),
        Path("/run/cluster/with space"),
        Path("/srv/cluster"),
    ]
