"""Mutations that know JSON and RecordIO: bytes alone rarely get past the parser's first brace."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any, Final

from protocol.mesos.recordio import encode_record
from tests.fuzz import targets

VALUE_END: Final = re.compile(rb"[,}\]]")
HOSTILE: Final[tuple[object, ...]] = (
    None, True, False, 0, -1, 1, 15, 5051, 65536, 2**31, 2**63 - 1, 2**63, 2**64, 10**309 - 1, 0.1,
    -0.5, 1e-320, 1e300, -1e308, "", "0", "*", "scaleio", "TASK_RUNNING", "SCALAR", "TEXT",
    "RANGES", "\x00", "\n\n", "\u2028", "\U0001f600", "a" * 300, "=", "AAAA", "slave(1)@[::1]:5051",
    [], {}, [None], [[]], [{}], {"value": None}, {"value": ""}, {"value": "x"}, {"value": True},
    {"nanoseconds": -1}, {"nanoseconds": 2**63}, {"nanoseconds": 1e30},
)  # fmt: skip
RAW: Final = (
    b"1e999", b"NaN", b"-Infinity", b"1" * 330, b'"\\ud800"', b'"\xff"', b'"\\udc00\\ud800"', b"-",
    b"[" * 1200, b'{"a":' * 1200, b'"', b"\xef\xbb\xbf{}", b'{"type":"OFFERS","type":"ERROR"}',
    b"01", b"tru", b'"\\u00', b"\x00",
)  # fmt: skip
HEADERS: Final = (
    b"", b"\n", b"0\n", b"-1\n", b"1000000000000000000\n", b"18446744073709551616\n", b"2048\n",
    b"2049\n", b" 7 \n", b"+7\n", b"0x7\n", b" " * 21, b"9" * 25, b"<html>\n", b"\r\n\r\n", b"7",
)  # fmt: skip
TEXTS: Final = (
    "", "\n", "\r\n", "\x00", "\u2028", "\x85", " ", "é", "٣", "\u212a", "。", "\ud83d", "@", "#",
    "?", "%", "%25eth0", "[", "]", ":", "::1", ":0", ":65535", ":65536", ":-1", ":+5", "//", "\\",
    "/", "..", "http://", "https://", "HTTP:", "javascript:", "user:word@", "1.11", "999999.9",
    "a" * 300, "Framework failed over", "Framework has been removed", "Failed to find enum",
    "stream ID", "role", "Not authorized", "<html>\n<body>",
)  # fmt: skip


def mutated(data: bytes, bytes_max: int, seed: int) -> bytes | None:
    """A changed input; None where the structure is lost, and bytes have to be changed instead."""
    chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
    if len(data) < 2:
        return None
    target = targets.TARGETS[data[0] % len(targets.TARGETS)]
    if target is targets.stream:
        return _stream(data, chance)[:bytes_max]
    if target in (targets.redirect, targets.answer):
        return data[:2] + _text(data[2:], chance)[: bytes_max - 2]
    try:
        body: Any = json.loads(data[1:])
    except (ValueError, RecursionError):
        return None
    text = _encoded(_document(body, chance))
    if text is None or len(text) >= bytes_max:
        return None
    if chance.random() < 0.15:
        text = _spliced(text, chance)[: bytes_max - 1]
    return data[:1] + text


def _encoded(body: object) -> bytes | None:
    """None for numbers of more digits, or lists of more depth, than Python writes."""
    try:
        return json.dumps(body, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return None


def _document(body: Any, chance: random.Random) -> Any:
    """One to three places of the tree become something else."""
    for _ in range(chance.randint(1, 3)):
        places = list(_places(body))
        if not places:
            return _hostile(chance)
        holder, key = chance.choice(places)
        _change(holder, key, chance)
    return body


def _places(value: Any, depth: int = 0) -> Any:
    keys: Any = ()
    if isinstance(value, dict):
        keys = list(value)
    elif isinstance(value, list):
        keys = range(len(value))
    for key in keys if depth < 40 else ():
        yield value, key
        yield from _places(value[key], depth + 1)


def _hostile(chance: random.Random) -> Any:
    """A copy: what is mutated further must not come back in the next input."""
    return copy.deepcopy(chance.choice(HOSTILE))


def _change(holder: Any, key: Any, chance: random.Random) -> None:
    match chance.randrange(6):
        case 0 | 1:
            holder[key] = _hostile(chance)
        case 2:
            del holder[key]
        case 3 if isinstance(holder, list):
            holder.append(holder[key])
        case 3:
            holder[f"x{key}"] = _hostile(chance)
        case 4:
            holder[key] = [holder[key]] * chance.randint(1, 3)
        case 5 if isinstance(holder[key], int):
            holder[key] *= chance.choice((-1, 2, 1000, 10**150))
        case _:
            other, at = chance.choice(list(_places(holder)))
            holder[key] = other[at] if other is not holder else _hostile(chance)


def _spliced(text: bytes, chance: random.Random) -> bytes:
    """What no encoder writes, in the place of a value."""
    marks = [at for at, byte in enumerate(text) if byte == 0x3A] or [0]  # colons
    at = chance.choice(marks) + 1
    end = VALUE_END.search(text, at)
    raw = chance.choice(RAW)
    return text[:at] + raw + (text[end.start() :] if end else b"")


def _text(text: bytes, chance: random.Random) -> bytes:
    """Words that mean something to somebody, put in or put in place of a part."""
    begin = chance.randrange(len(text) + 1)
    end = begin + chance.choice((0, 0, 1, 4, len(text)))
    word = chance.choice(TEXTS).encode(errors="surrogatepass")
    return text[:begin] + word + text[end:]


def _stream(data: bytes, chance: random.Random) -> bytes:
    """Headers that lie, blank lines, records that stop or run together."""
    head, rest = data[:5], data[5:]
    at = chance.randrange(len(rest) + 1)
    match chance.randrange(5):
        case 0:
            rest = rest[:at] + chance.choice(HEADERS) + rest[at:]
        case 1:
            rest = chance.choice(HEADERS) + rest
        case 2:
            rest = rest[:at]
        case 3:
            rest = rest[:at] + encode_record(rest[at : at + chance.randrange(64)]) + rest[at:]
        case _:
            head = head[:1] + bytes(chance.randrange(256) for _ in range(4))
            rest += encode_record(b'{"type":"HEARTBEAT"}') * chance.randint(1, 3)
    return head + rest
