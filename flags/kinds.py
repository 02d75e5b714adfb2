"""What texts a flag takes, and what they mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar
from urllib.parse import urlsplit

import attrs

from flags.ensemble import EnsembleError, is_ensemble, read_ensemble
from flags.secret import SECRET_BYTES_MAX, SECRET_CHARACTERS_MIN, Secret

T_co = TypeVar("T_co", covariant=True)

NAME_CHARACTERS_MAX: Final = 31  # ScaleIO object names
MASTER_PORT: Final = 5050
MASTER_PATHS: Final = ("", "/", "/api/v1/scheduler")
RECEIVERS_MAX: Final = 8  # of each kind
ONE_WAY: Final = "give either the masters as a comma list, or one zk://HOST:PORT,HOST:PORT/PATH"


class RefusedError(ValueError):
    """A value is understood, and refused with this sentence."""


@attrs.frozen(kw_only=True)
class Kind(Generic[T_co]):
    """What texts a flag takes. `read` raises ValueError, or RefusedError with its own sentence."""

    expected: str
    read: Callable[[str], T_co]
    placeholder: str = "TEXT"


def _read_switch(text: str) -> bool:
    # Go's strconv.ParseBool
    if text in {"1", "t", "T", "TRUE", "true", "True"}:
        return True
    if text in {"0", "f", "F", "FALSE", "false", "False"}:
        return False
    raise ValueError(text)


def whole(low: int, high: int, placeholder: str = "N") -> Kind[int]:
    """Decimal numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return Kind(expected=f"a whole number from {low} to {high}", read=read, placeholder=placeholder)


def amount(unit: str, *, placeholder: str) -> Kind[float]:
    """Numbers above zero."""

    def read(text: str) -> float:
        number = float(text) if re.fullmatch(r"[0-9.]{1,20}", text) else 0.0
        if not math.isfinite(number) or number <= 0:
            raise ValueError(text)
        return number

    return Kind(expected=f"a number of {unit} greater than 0", read=read, placeholder=placeholder)


def choice(
    *words: str,
    same: Mapping[str, str] | None = None,
    unbuilt: Mapping[str, str] | None = None,
) -> Kind[str]:
    """One of some words; `same` maps other spellings, `unbuilt` to the sentence that refuses."""

    def read(text: str) -> str:
        word = (same or {}).get(text.lower(), text.lower())
        if unbuilt and word in unbuilt:
            raise RefusedError(unbuilt[word])
        if word not in words:
            raise ValueError(text)
        return word

    return Kind(expected=f"one of {', '.join(words)}", read=read, placeholder="|".join(words))


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(text)
        return text

    return read


def _read_host(text: str) -> str:
    """A name or address, bare: an IPv6 address may wear brackets."""
    if text and not re.fullmatch(r"[A-Za-z0-9._-]{1,253}|\[?[0-9A-Fa-f:.]{2,45}\]?", text):
        raise ValueError(text)
    return text.removeprefix("[").removesuffix("]")


def _origin(text: str, port: int | None) -> str:
    """scheme://host[:port] of an address with or without scheme."""
    url = urlsplit(text if "://" in text else f"http://{text}")
    if (
        url.scheme not in {"http", "https"}
        or url.username is not None
        or url.query
        or url.fragment
        or url.path not in MASTER_PATHS
        or not url.hostname
        or not _read_host(url.hostname)
    ):
        raise ValueError(text)
    host = f"[{url.hostname}]" if ":" in url.hostname else url.hostname
    number = port if url.port is None else url.port
    if number == 0:
        raise ValueError(text)
    return f"{url.scheme}://{host}" + ("" if number is None else f":{number}")


def _read_proxy(text: str) -> str:
    """Every task's environment can be read in Mesos, so there is no place for its credentials."""
    if text and urlsplit(text).username is not None:
        raise RefusedError(
            "holds credentials, and task environments can be read in Mesos: let the proxy know "
            "the hosts by their addresses"
        )
    if text and not re.fullmatch(
        r"http://(?:[A-Za-z0-9._-]{1,253}|\[[0-9a-f:]+\]):[0-9]{1,5}/?", text
    ):
        raise ValueError(text)
    return text.removesuffix("/")


def _read_masters(text: str) -> tuple[str, ...]:
    """Each master's origin, or alone the ensemble that names them, with its credentials."""
    if is_ensemble(text.strip()):
        return (_read_master_ensemble(text),)
    parts = [part.strip() for part in text.split(",")]
    if any(is_ensemble(part) for part in parts):
        raise RefusedError(ONE_WAY)
    return tuple(dict.fromkeys(_origin(part, MASTER_PORT) for part in parts))


def _read_master_ensemble(text: str) -> str:
    try:
        ensemble = read_ensemble(text)
    except EnsembleError as error:
        raise RefusedError(str(error)) from None
    if "," in ensemble.chroot:
        raise RefusedError(ONE_WAY)
    if not ensemble.chroot:
        raise RefusedError(
            "names no path: masters announce themselves below the one of their -zk flag, "
            "usually zk://HOST:PORT/mesos"
        )
    known_as = f"{ensemble.credentials}@" if ensemble.credentials else ""
    return f"zk://{known_as}{str(ensemble).removeprefix('zk://')}"


def _read_gateway(text: str) -> str:
    """One, or several with commas between them, as they were written."""
    named = [one.strip() for one in text.split(",")] if text else []
    for one in named:
        _origin(one, None)
    return ",".join(named)


def _read_verbs(text: str) -> tuple[str, ...]:
    if text and not re.fullmatch("[A-Za-z]{1,64},[A-Za-z]{1,64}", text):
        raise ValueError(text)
    return tuple(text.split(",")) if text else ()


def _read_fingerprints(text: str) -> tuple[str, ...]:
    """Lower-case digits without separators, whatever the form in which they were pasted."""
    named = [one.replace(":", "").strip().lower() for one in text.split(",")] if text else []
    if not all(re.fullmatch("[0-9a-f]{64}", one) for one in named):
        raise ValueError(text)
    return tuple(named)


def _receivers(text: str, path_of: Callable[[str, str], str]) -> tuple[str, ...]:
    """Addresses of receivers. A path or query may be a secret, so a refusal counts, not quotes."""
    parts = _read_list(text)
    if len(parts) > RECEIVERS_MAX:
        raise RefusedError(f"names {len(parts)} addresses: {RECEIVERS_MAX} at most")
    found = []
    for number, part in enumerate(parts, 1):
        try:
            url = urlsplit(part)
            whole_form = bool(url.hostname and _read_host(url.hostname)) and url.port != 0
        except ValueError:
            whole_form = False
            url = urlsplit("")
        if url.username is not None or url.password is not None:
            raise RefusedError(
                f"address {number} holds credentials: put a token into -notify.token-file"
            )
        if (
            not whole_form
            or url.scheme not in {"http", "https"}
            or url.fragment
            or not re.fullmatch(r"[!-~]{1,2000}", part)
        ):
            raise RefusedError(f"address {number} is not http(s)://host[:port][/path]")
        found.append(f"{url.scheme}://{url.netloc}{path_of(url.path, url.query)}")
    return tuple(dict.fromkeys(found))


def _webhook_path(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")


def _alertmanager_path(path: str, query: str) -> str:
    """The base, without slash; who gives the address of the alerts means the same."""
    if query:
        raise RefusedError("an Alertmanager's address has no query")
    return path.rstrip("/").removesuffix("/api/v2/alerts")


def _read_file(text: str) -> Path | None:
    # No is_file(): a shell's <(...) is a pipe.
    return _path(text, "file", lambda path: path.exists() and not path.is_dir())


def _read_directory(text: str) -> Path | None:
    return _path(text, "directory", Path.is_dir)


def _path(text: str, what: str, test: Callable[[Path], bool]) -> Path | None:
    if not text:
        return None
    path = Path(text)
    try:
        if not test(path):
            raise RefusedError(f"there is no such {what}")
    except OSError as fault:
        raise RefusedError(fault.strerror or type(fault).__name__) from None
    return path


def _read_secret(text: str) -> Secret:
    size = len(text.encode("utf-8", "surrogatepass"))
    if not len(text) >= SECRET_CHARACTERS_MIN or size > SECRET_BYTES_MAX or not text.isprintable():
        raise ValueError
    return Secret(text)


def _read_unit(text: str) -> str:
    """Without systemd's suffix: other init systems have none, and the steps add it."""
    name = text.removesuffix(".service")
    if text and not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,127}", name):
        raise ValueError(text)
    return name


def _read_list(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part for raw in text.split(",") if (part := raw.strip())))


TEXT: Final = Kind(expected="text", read=str)
SWITCH: Final = Kind(expected="true or false", read=_read_switch, placeholder="")
PORT: Final = whole(1, 65535, "PORT")
FREE_PORT: Final = whole(0, 65535, "PORT")
PERCENT: Final = whole(1, 100, "PERCENT")
SECONDS: Final = amount("seconds", placeholder="SECONDS")
CPUS: Final = amount("cpus", placeholder="CPUS")
MEGABYTES: Final = amount("MB", placeholder="MB")
FACTOR: Final = amount("parts of one", placeholder="FACTOR")
LIST: Final = Kind(expected="a comma list", read=_read_list, placeholder="A,B,...")
NAME: Final = Kind(
    expected=f"a name of 1 to {NAME_CHARACTERS_MAX} letters, digits and punctuation marks",
    read=_matching(rf"[!-~]{{1,{NAME_CHARACTERS_MAX}}}"),
    placeholder="NAME",
)
USER: Final = Kind(expected="a user's name", read=_matching(r"[!-~]{1,64}"), placeholder="NAME")
UNIT: Final = Kind(
    expected="a service's name of letters, digits and . _ @ -", read=_read_unit, placeholder="NAME"
)
ROLE: Final = Kind(
    expected="a name of letters, digits and . _ -, as it becomes part of a path",
    read=_matching(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"),
    placeholder="NAME",
)
PRINCIPAL: Final = Kind(
    expected="a principal of 1 to 128 printable characters without a colon",
    read=_matching(r"[!-9;-~]{1,128}"),
    placeholder="NAME",
)
SYSTEM_ID: Final = Kind(
    expected="a system id in hexadecimal", read=_matching(r"[0-9A-Fa-f]{0,32}"), placeholder="ID"
)
API_VERSION: Final = Kind(
    expected="a version such as 2.0", read=_matching(r"[0-9]{1,3}\.[0-9]{1,3}"), placeholder="X.Y"
)
HOST: Final = Kind(expected="a host name or address", read=_read_host, placeholder="HOST")
GATEWAY: Final = Kind(
    expected="host, host:port or http(s)://host:port; several with commas between them",
    read=_read_gateway,
    placeholder="ADDRESS",
)
FINGERPRINTS: Final = Kind(
    expected="the SHA-256 fingerprint of a certificate: 64 hexadecimal digits; several with "
    "commas between them",
    read=_read_fingerprints,
    placeholder="SHA256",
)
VERBS: Final = Kind(
    expected="two names of actions, ENTER,LEAVE", read=_read_verbs, placeholder="ENTER,LEAVE"
)
MASTERS: Final = Kind(
    expected="host:port[,host:port...], http(s)://host:port[/api/v1/scheduler] or "
    "zk://host:port[,host:port...]/path",
    read=_read_masters,
    placeholder="MASTERS",
)
FILE: Final = Kind(expected="a readable file", read=_read_file, placeholder="FILE")
DIRECTORY: Final = Kind(expected="a directory", read=_read_directory, placeholder="DIR")
PROXY: Final = Kind(
    expected="http://HOST:PORT without credentials", read=_read_proxy, placeholder="URL"
)
WEBHOOKS: Final = Kind(
    expected="a comma list of http(s)://host[:port][/path]",
    read=lambda text: _receivers(text, _webhook_path),
    placeholder="URL,...",
)
ALERTMANAGERS: Final = Kind(
    expected="a comma list of http(s)://host[:port][/prefix]",
    read=lambda text: _receivers(text, _alertmanager_path),
    placeholder="URL,...",
)
NO_PROXY: Final = Kind(
    expected="a comma list of hosts, domains or addresses without blanks",
    read=_matching(r"[A-Za-z0-9.:/_,*-]{0,1024}"),
    placeholder="LIST",
)
SECRET: Final = Kind(
    expected=f"a secret of {SECRET_CHARACTERS_MIN} or more printable characters",
    read=_read_secret,
    placeholder="SECRET",
)
