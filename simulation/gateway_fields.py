"""Reading request bodies as Gateways do: numbers and booleans come as strings or natively."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

Body = dict[str, object]


class MdmRefusalError(Exception):
    """The MDM says no: HTTP 500 with its error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class MalformedError(Exception):
    """HTTP 400 with error code 0; the text names the parameter."""


class NoSuchRouteError(Exception):
    """HTTP 404."""


def parsed(raw: bytes) -> Body:
    """A JSON object; blanks around keys are dropped (one client sends such a key)."""
    if not raw.strip():
        return {}
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError) as error:
        raise MalformedError("Failed to parse the request body") from error
    if not isinstance(found, dict):
        raise MalformedError("Failed to parse the request body")
    return {str(key).strip(): value for key, value in found.items()}


def text(body: Body, key: str) -> str:
    """A parameter that must be there."""
    value = body.get(key)
    if not isinstance(value, str | int | float) or value == "":
        raise MalformedError(f"Request message is not valid: {key} is required")
    return str(value)


def optional(body: Body, key: str) -> str | None:
    value = body.get(key)
    return None if value is None or value == "" else str(value)


def number(body: Body, key: str) -> int:
    try:
        return int(text(body, key))
    except ValueError:
        raise MalformedError(f"Request message is not valid: {key} is not a number") from None


def between(body: Body, key: str, least: int, most: int) -> int:
    value = number(body, key)
    if not least <= value <= most:
        raise MalformedError(f"Request message is not valid: {key} must be {least} to {most}")
    return value


def one_of(body: Body, key: str, known: Collection[str]) -> str:
    value = text(body, key)
    if value not in known:
        raise MalformedError(f"Request message is not valid: {key} must be one of {list(known)}")
    return value


def required_flag(body: Body, key: str) -> bool:
    text(body, key)
    return flag(body, key)


def test_mode(body: Body, key: str) -> None:
    """How new devices are tested; the simulated ones pass at once."""
    if optional(body, key) is not None:
        one_of(body, key, ("testOnly", "noTest", "testAndActivate"))


def flag(body: Body, key: str, *, default: bool = False) -> bool:
    """`true`, `"TRUE"`, `"True"`, and their opposites."""
    value = body.get(key)
    if value is None or value == "":
        return default
    match str(value).lower():
        case "true":
            return True
        case "false":
            return False
        case _:
            raise MalformedError(f"Request message is not valid: {key} is not a boolean")


def sds_ips(body: Body) -> list[tuple[str, str]]:
    """Both spellings of `sdsIpList`: with and without the `SdsIp` wrapper."""
    found: list[tuple[str, str]] = []
    items = body.get("sdsIpList")
    for item in items if isinstance(items, list) else ():
        inner = item.get("SdsIp", item) if isinstance(item, dict) else {}
        if not isinstance(inner, dict) or not inner.get("ip"):
            raise MalformedError("Request message is not valid: sdsIpList items need an ip")
        found.append((str(inner["ip"]), str(inner.get("role") or "all")))
    if not found:
        raise MalformedError("Request message is not valid: sdsIpList is required")
    check_roles(found)
    return found


def check_roles(ips: list[tuple[str, str]]) -> None:
    """Some address must serve SDSs and some must serve clients; no address twice."""
    roles = {role for _, role in ips}
    both = "all" in roles or roles == {"sdsOnly", "sdcOnly"}
    if not both or not roles <= {"all", "sdsOnly", "sdcOnly"}:
        raise MalformedError("Request message is not valid: sdsIpList roles")
    if len({ip for ip, _ in ips}) < len(ips):
        raise MalformedError("Request message is not valid: sdsIpList names an ip twice")
    if len(ips) == 1 and roles != {"all"}:
        raise MalformedError("Request message is not valid: sdsIpList roles")


def forced(body: Body) -> bool:
    """True if any force field was sent at all, whatever its value, also for a listed device."""
    listed = body.get("deviceInfoList")
    inner = [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return any(key.startswith("force") for item in (body, *inner) for key in item)


def force_keys(raw: bytes) -> tuple[str, ...]:
    """Every key of a JSON body, however deep, that begins with "force"."""
    try:
        return tuple(_force_keys(msgspec.json.decode(raw))) if raw else ()
    except msgspec.DecodeError:
        return ()


def _force_keys(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (str(key) for key in value if str(key).lower().startswith("force"))
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _force_keys(item)
