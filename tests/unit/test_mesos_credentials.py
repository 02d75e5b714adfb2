"""Who we are to the masters: read once, read again when it changes, and never shown."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest
import trio
import trustme

from actors.ports import CredentialsError
from adapters.mesos_credentials import BasicCredentials, NoCredentials, tls_context
from settings import Redactor

SECRET = "Correct-Horse-7"


def basic(file: Path, redactor: Redactor | None = None) -> BasicCredentials:
    return BasicCredentials.read("storage", str(file), (redactor or Redactor()).add)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


def test_principal_and_secret_go_into_one_header(file: Path) -> None:
    encoded = base64.b64encode(f"storage:{SECRET}".encode()).decode()
    assert basic(file).headers() == {"Authorization": f"Basic {encoded}"}
    assert NoCredentials().headers() == {}


async def test_a_changed_file_is_another_secret_and_an_unchanged_one_is_not(file: Path) -> None:
    credentials = basic(file)
    before = credentials.headers()
    assert not await credentials.renew()
    await trio.Path(file).write_text("Another-Horse-8\n")
    assert await credentials.renew()
    assert credentials.headers() != before
    assert not await credentials.renew()
    assert not await NoCredentials().renew()


async def test_a_file_that_vanishes_is_named_and_the_secret_kept(file: Path) -> None:
    credentials = basic(file)
    before = credentials.headers()
    await trio.Path(file).unlink()
    with pytest.raises(CredentialsError, match=r"-mesos\.secret-file: .*secret: No such file"):
        await credentials.renew()
    assert credentials.headers() == before


async def test_each_secret_that_was_ever_read_is_hidden_in_all_forms(file: Path) -> None:
    redactor = Redactor()
    credentials = basic(file, redactor)
    header = credentials.headers()["Authorization"]
    await trio.Path(file).write_text("Another-Horse-8\n")
    await credentials.renew()
    shown = redactor(f"{SECRET} Another-Horse-8 {header} {credentials.headers()} {credentials!r}")
    assert "Horse" not in shown
    assert header.removeprefix("Basic ") not in shown
    assert SECRET not in repr(credentials)


@pytest.mark.parametrize("content", ["", "two\nlines\n"])
def test_a_file_that_holds_no_secret_is_refused(content: str, file: Path) -> None:
    file.write_text(content)
    with pytest.raises(CredentialsError, match="is not one line of text"):
        basic(file)


# -- certificates ---------------------------------------------------------------------------------


def test_authority_certificate_and_key_are_taken(tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert("scheduler.test")
    ca, cert, key = tmp_path / "ca", tmp_path / "cert", tmp_path / "key"
    authority.cert_pem.write_to_path(str(ca))
    own.cert_chain_pems[0].write_to_path(str(cert))
    own.private_key_pem.write_to_path(str(key))
    context = tls_context(ca_file=ca, cert_file=cert, key_file=key)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    with pytest.raises(CredentialsError, match=r"-mesos\.cert-file: .*: holds no certificates"):
        tls_context(ca_file=ca, cert_file=cert, key_file=None)


def test_a_file_that_is_no_certificate_is_named(file: Path) -> None:
    with pytest.raises(CredentialsError, match=r"-mesos\.ca-file: .*secret: holds no cert"):
        tls_context(ca_file=file, cert_file=None, key_file=None)
    with pytest.raises(CredentialsError, match=r"-mesos\.cert-file: .*absent: No such file"):
        tls_context(ca_file=None, cert_file=file.parent / "absent", key_file=None)
