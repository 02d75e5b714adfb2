"""How a service is kept where systemd is not process 1: a script of init.d, or a job of upstart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

SYSTEMD: Final = Path("/run/systemd/system")
_TEXT: Final = """#!/bin/sh
### BEGIN INIT INFO
# Provides: {name}
# Required-Start: $remote_fs{after}
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: {name} (stand-in)
### END INIT INFO
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
pid=/run/{name}.pid
living() {{
    [ -s "$pid" ] && read -r number <"$pid" && kill -0 "$number" 2>/dev/null
}}
start() {{
    living && return 0
    setsid sh -c 'echo $$ >"$0"; exec "$@"' "$pid" {command} </dev/null >>/var/log/{name}.log 2>&1 &
    tries=0
    until living || [ $((tries = tries + 1)) -gt 50 ]; do sleep 0.1; done
    living
}}
stop() {{
    living || return 0
    kill "$number"
    while kill -0 "$number" 2>/dev/null; do sleep 0.1; done
    rm -f "$pid"
}}
case $1 in
    start) start ;;
    stop) stop ;;
    restart | force-reload) stop && start ;;
    status)
        living && echo "{name} is running, process $number" && exit 0
        echo "{name} is not running"
        exit 3
        ;;
    *) echo "usage: $0 start|stop|restart|status" >&2; exit 2 ;;
esac
"""


def text(name: str, command: str, after: str = "") -> str:
    """An init script that keeps one process. `after`: services that start first."""
    return _TEXT.format(name=name, command=command, after=f" {after}" if after else "")


def job(command: str) -> str:
    """The same for upstart."""
    head = "start on runlevel [2345]\nstop on runlevel [!2345]\nrespawn\n"
    return f"{head}exec {command}\n"


def install(name: str, command: str, after: str = "") -> int:
    """In this host; the status of the program that registers it."""
    file = Path("/etc/init.d") / name
    file.write_text(text(name, command, after), encoding="utf-8")
    file.chmod(0o755)
    done = subprocess.run(["update-rc.d", name, "defaults"], check=False, stdout=subprocess.DEVNULL)
    return done.returncode


def uninstall(name: str) -> int:
    subprocess.run(["service", name, "stop"], check=False)
    (Path("/etc/init.d") / name).unlink(missing_ok=True)
    return subprocess.run(["update-rc.d", name, "remove"], check=False).returncode
