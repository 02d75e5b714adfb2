"""Secrets are sealed for one host, and a step's last words are taken only in their fixed form."""

from __future__ import annotations

import base64
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from install_steps.sealing import SealError, exit_code_of, result_of, seal, secret_tag


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def opened(sealed: str, algorithm: hashes.HashAlgorithm) -> str:
    scheme = padding.OAEP(mgf=padding.MGF1(algorithm), algorithm=algorithm, label=None)
    return key().decrypt(base64.b64decode(sealed), scheme).decode()


def test_only_the_hosts_key_opens_a_sealed_secret() -> None:
    sealed = seal(pem(key().public_key()), "s3cret 'quoted' é")
    assert "s3cret" not in sealed
    assert opened(sealed, hashes.SHA256()) == "s3cret 'quoted' é"


def test_hosts_with_an_old_openssl_get_the_digest_that_it_knows() -> None:
    sealed = seal(pem(key().public_key()), "pass", digest="sha1")
    assert opened(sealed, hashes.SHA1()) == "pass"  # noqa: S303  # what openssl 1.0.1 can open


@pytest.mark.parametrize(
    ("public_key", "secret", "digest", "said"),
    [
        ("", "x", "sha256", "no PEM public key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "x", "sha256", "no PEM"),
        ("ec", "x", "sha256", "no RSA key"),
        ("rsa", "x" * 191, "sha256", "1 to 190"),
        ("rsa", "", "sha256", "1 to 190"),
        ("rsa", "x", "md5", "unknown"),
    ],
)
def test_a_secret_that_cannot_be_sealed_is_refused_in_a_sentence(
    public_key: str, secret: str, digest: str, said: str
) -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    keys = {"ec": pem(elliptic), "rsa": pem(key().public_key())}
    with pytest.raises(SealError, match=said) as refused:
        seal(keys.get(public_key, public_key), secret, digest=digest)
    assert "xx" not in str(refused.value)


def test_a_tag_changes_with_the_secret_and_with_the_installation() -> None:
    tags = {
        secret_tag(secret, installation) for secret in ("a", "b") for installation in (b"1", b"2")
    }
    assert len(tags) == 4
    assert secret_tag("a", b"1") == secret_tag("a", b"1")


def test_the_last_result_line_counts() -> None:
    text = 'x @result {"no":1}\n@result {"step":"sds"}\nnoise\n@result {"changed":true,"n":3}\nend'
    assert result_of(text) == {"changed": True, "n": 3}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@result",
        "@result {",
        "@result []",
        '@result {"a":"two words"}',
        '@result {"a":"<b>"}',
        '@result {"a":1.5}',
        '@result {"a":null}',
        '@result {"a":{"b":1}}',
        '@result {"a":"' + "x" * 65 + '"}',
        '@result {"a":"' + "x" * 5000 + '"}',
        "@result {" + ",".join(f'"k{n}":1' for n in range(40)) + "}",
        ' @result {"a":1}',
    ],
)
def test_a_result_line_of_another_form_is_none(text: str) -> None:
    assert result_of(text) is None


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("Command exited with status 20", 20),
        ("Command exited with status 0", 0),
        ("Command terminated with signal Killed", 137),
        ("Command terminated with signal Terminated", 143),
        ("Command terminated with signal 6", 134),
        ("Command terminated with signal Unheard", None),
        ("Abnormal executor termination: unknown container", None),
        ("", None),
    ],
)
def test_exit_codes_are_read_from_mesos_words(message: str, code: int | None) -> None:
    assert exit_code_of(message) == code
