"""Secrets that only one host can open, and what a step says at its end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

KEY_BITS_MIN: Final = 2048
RESULT_CHARACTERS_MAX: Final = 4096
RESULT_MEMBERS_MAX: Final = 32
_WORD: Final = re.compile(r"[A-Za-z0-9._:+~-]{0,64}")
_EXITED: Final = re.compile(r"exited with status (\d{1,3})\b")
_SIGNAL: Final = re.compile(r"terminated with signal (\w+)")
_SIGNALS: Final[Mapping[str, int]] = {
    "hangup": 1, "interrupt": 2, "quit": 3, "aborted": 6, "killed": 9, "segmentation": 11,
    "terminated": 15,
}  # fmt: skip


class SealError(Exception):
    """A secret cannot be sealed; the text says why, and never holds the secret."""


def seal(public_key_pem: str, secret: str, *, digest: str = "sha256") -> str:
    """Base64 RSA-OAEP ciphertext for the host's key. `digest` is `Facts.oaep_digest`. SealError."""
    try:
        key = load_pem_public_key(public_key_pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise SealError(
            "the host's public key is no PEM public key: survey the host again"
        ) from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < KEY_BITS_MIN:
        raise SealError(f"the host's public key is no RSA key of at least {KEY_BITS_MIN} bits")
    algorithm = _digest(digest)
    plain = secret.encode()
    room = key.key_size // 8 - 2 * algorithm.digest_size - 2
    if not plain or len(plain) > room:
        raise SealError(f"the secret has {len(plain)} bytes: 1 to {room} can be sealed")
    scheme = padding.OAEP(mgf=padding.MGF1(algorithm), algorithm=algorithm, label=None)
    return base64.b64encode(key.encrypt(plain, scheme)).decode()


def secret_tag(secret: str, installation: bytes) -> str:
    """Changes with the secret and tells nothing of it to whoever lacks `installation`'s key."""
    return hmac.new(installation, secret.encode(), hashlib.sha256).hexdigest()[:16]


def result_of(stdout: str) -> Mapping[str, str | int | bool] | None:
    """The last RESULT LINE, if it holds only fixed words, whole numbers and truth values."""
    start = stdout.rfind("@result ")
    while start > 0 and stdout[start - 1] != "\n":
        start = stdout.rfind("@result ", 0, start)
    if start < 0:
        return None
    line = stdout[start + len("@result ") :].partition("\n")[0]
    if len(line) > RESULT_CHARACTERS_MAX:
        return None
    try:
        decoded = msgspec.json.decode(line, type=dict[str, bool | int | str])
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    words = [*decoded, *(value for value in decoded.values() if isinstance(value, str))]
    if len(decoded) > RESULT_MEMBERS_MAX or not all(_WORD.fullmatch(word) for word in words):
        return None
    return decoded


def exit_code_of(message: str) -> int | None:
    """The exit status in Mesos' text for a failed task; 128 + N for signal N, as shells say it."""
    exited = _EXITED.search(message)
    if exited:
        return int(exited.group(1))
    signalled = _SIGNAL.search(message)
    if not signalled:
        return None
    word = signalled.group(1)
    signal = int(word) if word.isascii() and word.isdigit() else _SIGNALS.get(word.lower())
    return None if signal is None or signal > 64 else 128 + signal


def _digest(name: str) -> hashes.HashAlgorithm:
    match name:
        case "sha256":
            return hashes.SHA256()
        case "sha1":
            # OAEP needs no collision resistance; openssl before 1.0.2 knows nothing else.
            return hashes.SHA1()  # noqa: S303
        case _:
            raise SealError(f"digest {name!r} is unknown: sha256 or sha1 is expected")
