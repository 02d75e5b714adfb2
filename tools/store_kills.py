"""`make store-kills`: a writer is killed at random moments; the store has to be whole each time.

On a SQLite file, and on a real ZooKeeper where this machine has one. One line for each store.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.real_zookeeper.server import ZooKeeper, missing_needs
from tests.store_churn import Tally, churn


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=1000, metavar="N", help="on each store")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="store-kills-") as folder:
        good = _told(
            "sqlite",
            churn(f"{folder}/store.sqlite", writes=options.writes, seed=options.seed),
            options.writes,
        )
    if lacking := missing_needs():
        print(f"store-kills: store=zk writes=0 missing={' '.join(lacking)!r}")
        return 2
    with tempfile.TemporaryDirectory(prefix="store-kills-") as folder:
        with ZooKeeper(Path(folder)) as zookeeper:
            tally = churn(f"{zookeeper.uri}/kills", writes=options.writes, seed=options.seed)
        good &= _told("zk", tally, options.writes)
    return 0 if good else 1


def _told(store: str, tally: Tally, writes: int) -> bool:
    print(f"store-kills: store={store} {tally}", flush=True)
    return tally.is_good and tally.writes >= writes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
