"""A real Apache ZooKeeper server, from Debian's packages, as a child process."""

from tests.real_zookeeper.server import ZooKeeper, missing_needs

__all__ = ["ZooKeeper", "missing_needs"]
