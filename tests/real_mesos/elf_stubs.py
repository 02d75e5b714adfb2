"""Generate small stand-in shared libraries for what an ELF file needs.

The Mesos 1.11.0 library was linked on an old distribution.  Some of the shared
libraries it names no longer exist in that version (OpenSSL 1.0, libcurl with
its old symbol version), and others are only used by features the harness never
turns on (Subversion deltas for the registry, TLS).  For each of those names a
library is generated here that exports exactly the symbols (and the symbol
versions) the ELF file asks for.  A stub function that is called after all
prints its own name and aborts, so nothing can silently misbehave.

Needs `readelf` (binutils) and a C compiler.
"""

from __future__ import annotations

import collections
import ctypes
import pathlib
import re
import subprocess

#: Functions that may be called at start-up; they answer 0 / NULL.
HARMLESS = {
    "apr_initialize",
    "apr_terminate",
    "curl_global_init",
    "sasl_server_init",
    "sasl_client_init",
    "sasl_auxprop_add_plugin",
}

#: Unversioned symbols are told apart by their prefix.
PREFIXES = {
    "libapr-1.so.0": ("apr_",),
    "libsvn_delta-1.so.1": ("svn_txdelta",),
    "libsvn_subr-1.so.1": ("svn_",),
}


def _readelf(*args: str) -> str:
    return subprocess.run(
        ["readelf", "-W", *args], check=True, text=True, capture_output=True
    ).stdout


def missing(libraries: list[str]) -> list[str]:
    """Those of the libraries that this machine does not have."""
    absent = []
    for soname in libraries:
        try:
            ctypes.CDLL(soname)
        except OSError:
            absent.append(soname)
    return absent


def undefined(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """library -> {symbol: version or ''} for the undefined dynamic symbols."""
    owner: dict[int, str] = {}
    library = ""
    for line in _readelf("-V", str(path)).split("version needs section")[-1].splitlines():
        if match := re.search(r"File: (\S+)", line):
            library = match.group(1)
        elif match := re.search(r"Version: (\d+)\s*$", line):
            owner[int(match.group(1))] = library

    found: dict[str, dict[str, str]] = collections.defaultdict(dict)
    pattern = re.compile(r" UND (\S+?)(?:@(\S+) \((\d+)\))?\s*$")
    for line in _readelf("--dyn-syms", str(path)).splitlines():
        if not (match := pattern.search(line)):
            continue
        name, version, index = match.groups()
        if index:
            found[owner[int(index)]][name] = version
            continue
        for lib, prefixes in PREFIXES.items():
            if name.startswith(prefixes):
                found[lib][name] = ""
                break
    return found


def build(
    path: pathlib.Path, libraries: list[str], out: pathlib.Path, cc: str = "gcc"
) -> list[pathlib.Path]:
    symbols = undefined(path)
    built = []
    for soname in libraries:
        wanted = symbols.get(soname, {})
        source = ["#include <stdio.h>", "#include <stdlib.h>"]
        for name in sorted(wanted):
            if name in HARMLESS:
                body = "return 0;"
            else:
                body = f'fputs("stub {soname}: {name} was called\\n", stderr); abort();'
            source.append(f"void *{name}(void) {{ {body} }}")
        by_version: dict[str, list[str]] = collections.defaultdict(list)
        for name, version in sorted(wanted.items()):
            if version:
                by_version[version].append(name)
        script = "\n".join(
            f"{version} {{ global: {' '.join(n + ';' for n in names)} }};"
            for version, names in sorted(by_version.items())
        )
        c_file = out / f"{soname}.c"
        c_file.write_text("\n".join(source) + "\n")
        command = [cc, "-shared", "-fPIC", "-O1", "-w", "-fno-builtin", f"-Wl,-soname,{soname}"]
        if script:
            map_file = out / f"{soname}.map"
            map_file.write_text(script + "\n")
            command.append(f"-Wl,--version-script={map_file}")
        target = out / soname
        subprocess.run([*command, "-o", str(target), str(c_file)], check=True)
        built.append(target)
    return built
