"""`drv_cfg`, the SDC's command line: it asks the driver, and prints what the real one prints."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from . import lines, sdc_config

DRIVER: Final = "/run/scini.sock"  # the real one asks its kernel module through /dev/scini
WAIT_S: Final = 10.0
UNKNOWN_ID: Final = "0" * 16


class DriverError(Exception):
    """The driver is not loaded, or says no."""


def asked(driver: str, message: lines.Message) -> lines.Message:
    """The driver's answer. Raises DriverError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(WAIT_S)
            connection.connect(driver)
            answer = lines.ask(connection, message)
    except (OSError, lines.ProtocolError) as error:
        raise DriverError(f"the kernel module cannot be asked: {error}") from None
    if not answer.get("ok"):
        raise DriverError(str(answer.get("error")))
    return answer


def mdm_lines(clusters: Sequence[dict[str, Any]]) -> list[str]:
    found = [f"Retrieved {len(clusters)} mdm(s)"]
    for cluster in clusters:
        ids = [cluster.get(key) or UNKNOWN_ID for key in ("system", "sdc", "installation")]
        addresses = " ".join(f"[{n}]-{ip}" for n, ip in enumerate(cluster["addresses"]))
        found.append(f"MDM-ID {ids[0]} SDC ID {ids[1]} INSTALLATION ID {ids[2]} IPs {addresses}")
    return found


def volume_lines(volumes: Sequence[dict[str, Any]]) -> list[str]:
    found = [f"Retrieved {len(volumes)} volume(s)"]
    return found + [f"VOL-ID {v['volume']} MDM-ID {v['system']}" for v in volumes]


def run(options: argparse.Namespace, version: str, driver: str) -> list[str]:
    """The lines to print. Raises DriverError."""
    if options.query_guid:
        return [str(asked(driver, {"ask": "guid"})["guid"])]
    if options.query_mdms:
        return mdm_lines(asked(driver, {"ask": "mdms"})["clusters"])
    if options.query_vols:
        return volume_lines(asked(driver, {"ask": "volumes"})["volumes"])
    if options.query_version:
        return [version]
    if options.rescan:
        asked(driver, {"ask": "rescan"})
        return []
    message: lines.Message = {"ask": "add_mdm", "ip": options.ip, "file": options.file}
    if options.mod_mdm_ip:
        message |= {"ask": "mod_mdm_ip", "new_mdm_ip": options.new_mdm_ip}
    asked(driver, message)
    return []


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="drv_cfg", allow_abbrev=False)
    what = made.add_mutually_exclusive_group(required=True)
    for name in ("guid", "vols", "version"):
        what.add_argument(f"--query_{name}", action="store_true")
    what.add_argument("--query_mdms", "--query_mdm", action="store_true")
    what.add_argument("--rescan", action="store_true")
    what.add_argument("--add_mdm", action="store_true")
    what.add_argument("--mod_mdm_ip", action="store_true")
    made.add_argument("--ip", metavar="ADDRESSES")
    made.add_argument("--new_mdm_ip", metavar="ADDRESSES")
    made.add_argument("--file", help="keep the change in this file, for the next boot")
    return made


def main(arguments: Sequence[str], version: str, driver: str = DRIVER) -> int:
    if list(arguments) == ["--installed"]:  # what the real package's installation does itself
        config = sdc_config.installed(os.environ.get("MDM_IP", ""))
        sys.stdout.write(f"SDC {config.guid} of MDM {config.clusters}\n")
        return 0
    made = parser()
    options = made.parse_args(arguments)
    if (options.add_mdm or options.mod_mdm_ip) and not options.ip:
        made.error("--ip is missing")
    if options.mod_mdm_ip and not options.new_mdm_ip:
        made.error("--new_mdm_ip is missing")
    if options.file:
        options.file = str(Path(options.file).absolute())
    try:
        sys.stdout.write("".join(f"{line}\n" for line in run(options, version, driver)))
    except DriverError as error:
        sys.stderr.write(f"drv_cfg: {error}\n")
        return 1
    return 0
