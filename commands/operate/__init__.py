"""The operator's client: the same verbs as the page, over the scheduler's REST."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from commands.operate import bundle, verbs


def parts(
    name: str,
) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]:
    """What adds that verb's arguments, and what does it."""
    match name:
        case "events":
            return verbs.add_events, verbs.run_events
        case "rollout":
            return verbs.add_rollout, verbs.run_rollout
        case "silence" | "unsilence":
            return verbs.add_silence, verbs.run_silence(name)
        case "support-bundle":
            return bundle.add_arguments, bundle.run
        case _ if name in verbs.ORDERS:
            return verbs.add_order, verbs.run_order(name)
        case _:
            return verbs.add_view(name), verbs.run_view(name)
