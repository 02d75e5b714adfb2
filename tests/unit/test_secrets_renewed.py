"""A password that is corrected in its file is taken up; one that came otherwise stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flags.secret import Redactor, RenewedSecret, Secret


def test_what_is_corrected_in_the_file_is_read_and_hidden(tmp_path: Path) -> None:
    file, redactor = tmp_path / "password", Redactor()
    file.write_text("first-password\n")
    made = RenewedSecret(str(file), Secret("first-password"), redactor)
    read = made.read
    assert read() == made.last() == "first-password"
    file.write_text("second-password\n")
    assert made.last() == "first-password", "nobody has looked"
    assert read() == made.last() == "second-password"
    assert "second-password" not in redactor("it is second-password")
    file.unlink()
    with pytest.raises(OSError, match="No such file"):
        read()


def test_a_password_that_did_not_come_from_the_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("weaker-password\n")
    read = RenewedSecret(str(file), Secret("from-the-variable"), Redactor()).read
    file.write_text("another-password\n")
    assert read() == "from-the-variable"
    for path in ("", str(tmp_path / "none")):
        assert RenewedSecret(path, Secret("given"), Redactor()).read() == "given"


def test_a_descriptor_is_not_read_again() -> None:
    near, far = os.pipe()
    os.write(far, b"through-a-pipe\n")
    os.close(far)
    made = RenewedSecret(f"/dev/fd/{near}", Secret("through-a-pipe"), Redactor())
    assert made.read() == "through-a-pipe"
    assert os.read(near, 100) == b"through-a-pipe\n", "nobody has touched it"
    os.close(near)
