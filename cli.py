"""The command line: the scheduler itself, and its sub-commands."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

SUBCOMMANDS: Final = {
    "bundle": "make or check one file with a catalog and all its packages",
    "devices": "explain why each disk of a host is taken or left alone",
    "demo": "run the main job on a simulated cluster and show it",
    "plan": "show what is done and left to do on each host, and who decided it",
    "simulate": "run the product against a simulated cluster and report",
    "simulate-gateway": "serve a simulated ScaleIO Gateway on a socket",
    "simulate-master": "serve a simulated Mesos master on a socket",
    "store": "take over what the original framework had stored, from a dump of its store",
    "uninstall": "take an agent, all, or the framework out of use through the scheduler's REST API",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 a check failed, 2 bad input, 3 crashed, 4 superseded, 5 store."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _main(arguments)
    except BrokenPipeError:
        # The reader of our output has seen enough (`--help | head`): no reason for a traceback,
        # and none at exit either, when Python flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _main(arguments: list[str]) -> int:
    if arguments and arguments[0] in SUBCOMMANDS:
        return _subcommand(arguments[0], arguments[1:])
    from commands import scheduler  # the simulation needs none of what this imports

    return scheduler.main(arguments, dict(os.environ))


def _subcommand(name: str, arguments: list[str]) -> int:
    add, run = _parts(name)
    parser = argparse.ArgumentParser(
        prog=f"scaleio-scheduler {name}", description=SUBCOMMANDS[name], allow_abbrev=False
    )
    add(parser)
    return run(parser.parse_args(arguments))


def _parts(
    name: str,
) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]:
    """Only what the sub-command needs is imported: start-up stays quick."""
    match name:
        case "simulate":
            from commands import simulate

            return simulate.add_arguments, simulate.run
        case "plan":
            from commands import plan

            return plan.add_arguments, plan.run
        case "demo":
            from commands import demo

            return demo.add_arguments, demo.run
        case "bundle":
            from commands import bundle

            return bundle.add_arguments, bundle.run
        case "devices":
            from commands import devices

            return devices.add_arguments, devices.run
        case "uninstall":
            from commands import uninstall

            return uninstall.add_arguments, uninstall.run
        case "store":
            from commands import original

            return original.add_arguments, original.run
        case "simulate-gateway":
            from commands import serve_fakes

            return serve_fakes.gateway_arguments, serve_fakes.gateway
        case _:
            from commands import serve_fakes

            return serve_fakes.master_arguments, serve_fakes.master


if __name__ == "__main__":
    sys.exit(main())
