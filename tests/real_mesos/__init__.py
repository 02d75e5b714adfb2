"""Real Apache Mesos masters and agents for tests; see README.md."""

from tests.real_mesos.cluster import Cluster, get_json
from tests.real_mesos.library import missing_needs, prepare

__all__ = ["Cluster", "get_json", "missing_needs", "prepare"]
