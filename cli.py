"""The command line: the scheduler itself, and its sub-commands."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

SUBCOMMANDS: Final = {
    "check": "before the first start: what is right or wrong with master, Gateway, store, packages",
    "status": "show whether all is well: status 0 well, 1 a warning, 2 an error, 3 nobody answers",
    "agents": "list the agents, those first that need a look",
    "agent": "show one agent: why it waits, its steps, what it has run, its disks",
    "why": "tell why an agent, step, disk, pool or the rollout waits, down to the cause",
    "alerts": "list what is wrong, and what to do",
    "events": "list or follow what happened, and who ordered what",
    "offers": "show the offers of Mesos, and why they are declined",
    "capacity": "show the pools, and when they will be full",
    "settings": "show what is in effect, and who said so",
    "hold": "start nothing more on an agent",
    "resume": "let a held agent go on",
    "retry": "let a failed agent begin again",
    "drain": "take an agent out of use, data first",
    "reboot": "reboot an agent's host when the storage allows it",
    "replace": "give up an agent whose host is gone; a new machine of its name is taken up",
    "rollout": "show, start, pause, resume or abort the rollout",
    "silence": "notify nobody of a condition for a while",
    "unsilence": "notify people of a condition again",
    "support-bundle": "write what somebody who helps wants to see into one archive",
    "completion": "print what a shell needs to complete these commands",
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


Add = Callable[[argparse.ArgumentParser], None]
Run = Callable[[argparse.Namespace], int]


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
    if len(arguments) == 1 and arguments[0].startswith("-"):
        from commands import quick

        told = quick.answer(arguments)
        if told is not None:
            sys.stdout.write(f"{told}\n")
            return 0
    if arguments[:1] == ["check"]:
        from commands import check  # it has the scheduler's own flags

        return check.main(arguments[1:], dict(os.environ))
    if arguments and arguments[0] in SUBCOMMANDS:
        return _subcommand(arguments[0], arguments[1:])
    gc.disable()  # see commands.collecting
    from commands import scheduler  # the simulation needs none of what this imports

    return scheduler.main(arguments, dict(os.environ))


def _subcommand(name: str, arguments: list[str]) -> int:
    add, run = _parts(name)
    parser = argparse.ArgumentParser(
        prog=f"scaleio-scheduler {name}", description=SUBCOMMANDS[name], allow_abbrev=False
    )
    add(parser)
    return run(parser.parse_args(arguments))


def _parts(name: str) -> tuple[Add, Run]:
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
        case "simulate-master":
            from commands import serve_fakes

            return serve_fakes.master_arguments, serve_fakes.master
        case "completion":
            from commands.operate import completion

            return completion.add_arguments, _complete
        case _:
            from commands import operate

            return operate.parts(name)


def _complete(given: argparse.Namespace) -> int:
    """Every sub-command's parser is asked: the only command that imports all of them."""
    from commands.operate import completion

    return completion.tell(given.shell, _adders())


def _adders() -> dict[str, Add]:
    named = {name: _parts(name)[0] for name in sorted(SUBCOMMANDS) if name != "check"}
    return {**named, "check": lambda _: None}


if __name__ == "__main__":
    sys.exit(main())
