"""Bundles: same files, same bytes; nothing hostile is taken for one; downloads are verified."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest

from adapters.downloads import Downloads, download_client
from cli import main
from commands.inputs import read_packages
from commands.opening import BadInputError
from install_steps.bundle import BundleError, open_bundle
from install_steps.packages import PACKAGE_BYTES_MAX, load_catalog
from settings import Settings, SettingsError, parse
from tests.unit.catalog_cases import entry
from tests.unit.file_server import Files, serving
from tests.unit.test_settings import ENVIRON, MDMS
from tests.unit.test_web import SETTINGS

SDS: Final = b"sds" * 70_000
NUMACTL: Final = b"numactl" * 1000
DEBIAN: Final = [{"os_id": "debian", "os_version": "12"}]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@attrs.frozen
class Depot:
    """A web server with two packages, and a catalog of them."""

    folder: Path
    files: Files

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.json"

    @property
    def bundle(self) -> Path:
        return self.folder / "site.bundle"

    def write_catalog(self, **changes: object) -> None:
        numactl = entry(
            component="dependency", name="numactl", version="2.0", size_bytes=len(NUMACTL),
            sha256=sha(NUMACTL), url=f"{self.files.url}/numactl.deb", allow_http=True,
        )  # fmt: skip
        sds = entry(
            url=f"{self.files.url}/sds.deb", sha256=sha(SDS), size_bytes=len(SDS),
            allow_http=True, **changes,
        )  # fmt: skip
        document = {"version": 1, "packages": [sds, numactl]}
        self.catalog.write_text(json.dumps(document), encoding="utf-8")

    def build(self, *more: str) -> int:
        return main(
            ["bundle", "build", f"--catalog={self.catalog}", f"--output={self.bundle}", *more]
        )


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[Depot]:
    with serving() as files:
        files.bodies |= {"/sds.deb": SDS, "/numactl.deb": NUMACTL}
        found = Depot(tmp_path, files)
        found.write_catalog()
        yield found


# --- build ----------------------------------------------------------------------------------------


def test_the_same_files_make_the_same_bytes(depot: Depot) -> None:
    assert depot.build() == 0
    first = depot.bundle.read_bytes()
    depot.bundle.unlink()
    folder = depot.folder / "there"
    folder.mkdir()
    (folder / "sds.deb").write_bytes(SDS)
    (folder / sha(NUMACTL)).mkdir()
    (folder / sha(NUMACTL) / "numactl.deb").write_bytes(NUMACTL)
    depot.files.bodies.clear()
    assert depot.build(f"--dir={folder}") == 0
    assert depot.bundle.read_bytes() == first
    assert sorted(p.name for p in depot.folder.iterdir()) == [
        "catalog.json", "site.bundle", "there",
    ]  # fmt: skip


def test_any_tar_can_read_it(depot: Depot) -> None:
    assert depot.build() == 0
    out = depot.folder / "out"
    with tarfile.open(depot.bundle) as tar:
        for member in tar.getmembers():
            found = tar.extractfile(member)
            if found is not None:
                (out / member.name).parent.mkdir(parents=True, exist_ok=True)
                (out / member.name).write_bytes(found.read())
    assert (out / "packages" / sha(SDS) / "sds.deb").read_bytes() == SDS
    assert (out / "catalog.json").read_bytes() == depot.catalog.read_bytes()
    for line in (out / "SHA256SUMS").read_text(encoding="ascii").splitlines():
        digest, _, name = line.partition("  ")
        assert sha((out / name).read_bytes()) == digest


def test_an_interrupted_build_goes_on_and_leaves_no_half_bundle(depot: Depot) -> None:
    depot.files.breaks_after = 100_000
    assert depot.build() == 1
    assert not depot.bundle.exists()
    part = depot.folder / "site.bundle.partial" / f"{sha(SDS)}.part"
    assert part.stat().st_size == 100_000
    assert depot.build() == 0
    assert depot.files.asked[-1] == ("/sds.deb", "bytes=100000-")
    assert not part.parent.exists()


def test_wrong_data_goes_to_the_next_mirror(
    depot: Depot, capsys: pytest.CaptureFixture[str]
) -> None:
    depot.files.bodies |= {"/bad.deb": b"x" * len(SDS), "/long.deb": SDS + b"x"}
    url = depot.files.url
    depot.write_catalog(urls=[f"{url}/sds.deb", f"{url}/good.deb"])
    depot.files.bodies["/good.deb"] = SDS
    for bad in ("/bad.deb", "/long.deb", "/gone.deb"):
        depot.files.bodies["/sds.deb"] = depot.files.bodies.get(bad, b"")
        assert depot.build() == 0
        assert f"{url}/sds.deb: " in capsys.readouterr().err


def test_what_no_mirror_has_is_named(depot: Depot, capsys: pytest.CaptureFixture[str]) -> None:
    del depot.files.bodies["/sds.deb"]
    assert depot.build() == 1
    said = capsys.readouterr().err
    assert "/sds.deb: answered with status 404" in said
    assert "sds.deb for sds 2.0-10000.2072: no mirror has it" in said
    assert not depot.bundle.exists()


def test_a_detour_over_plain_http_is_refused(depot: Depot, tmp_path: Path) -> None:
    said: list[str] = []
    with download_client() as client:
        downloads = Downloads(client=client, folder=tmp_path, say=said.append, now=lambda: 0.0)
        depot.write_catalog()
        package = load_catalog(depot.catalog.read_text(encoding="utf-8"), "c").packages[0]
        assert downloads.fetch(attrs.evolve(package, allow_http=False)) is None
        assert "leads to plain http" in said[0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--dir=/nowhere"], "--dir: /nowhere: is no folder"),
        (["--output=/nowhere/x"], "--output: /nowhere: is no folder"),
        (["--catalog=/nowhere"], "--catalog: /nowhere: No such file"),
        (["--proxy=http://user:word@proxy:3128"], "--proxy: holds credentials"),
        (["--proxy=proxy"], "http://HOST:PORT without credentials is expected"),
    ],
)
def test_bad_input_is_one_line(
    depot: Depot, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert depot.build(*more) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]


# --- verify ---------------------------------------------------------------------------------------


def test_a_good_bundle_has_a_line_for_each_file(
    depot: Depot, capsys: pytest.CaptureFixture[str]
) -> None:
    depot.build()
    capsys.readouterr()
    assert main(["bundle", "verify", str(depot.bundle)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"ok packages/{sha(SDS)}/sds.deb {len(SDS)}" in lines
    assert lines[-1] == "bundle: files=2 wrong=0"


@pytest.mark.parametrize("content", [SDS, b'"version"'])
def test_one_changed_byte_is_found(
    depot: Depot, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    depot.build()
    raw = bytearray(depot.bundle.read_bytes())
    at = raw.index(content[:64])
    raw[at + len(content) - 2] ^= 1
    depot.bundle.write_bytes(raw)
    assert main(["bundle", "verify", str(depot.bundle)]) in {1, 2}
    said = capsys.readouterr()
    assert "WRONG" in said.out or said.err


def member(name: str, content: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in changes.items():
        setattr(info, field, value)
    return info, content


def manifest(*files: tuple[str, str, int], **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    listed = [{"name": n, "sha256": s, "size_bytes": size} for n, s, size in files]
    whole = {"format": "scaleio-framework-bundle", "version": 1, "files": listed, **changes}
    return member("manifest.json", json.dumps(whole).encode())


CATALOG: Final = member("catalog.json", b'{"version": 1, "packages": []}')
SUMS: Final = member("SHA256SUMS")
STRANGER: Final = f"packages/{sha(SDS)}/sds.deb"


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return target.getvalue()


def lying(raw: bytes, size_field: bytes) -> bytes:
    """The first member's size replaced, its header's sum put right."""
    header = bytearray(raw[:512])
    header[124:136] = size_field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + raw[512:]


HUGE: Final = b"\x80" + (10**18).to_bytes(11, "big")
GOOD: Final = tar_of(manifest(), CATALOG, SUMS)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "its end is not there"),
        (b"no tar at all" * 100, "no header of a plain tar"),
        (GOOD[:-9000], "no header of a plain tar"),
        (GOOD[:600], "longer than the bundle|no header"),
        (GOOD + b"\0" * 20480, "its end is not there"),
        (GOOD[:-512] + b"x" * 512, "its end is not there"),
        (tar_of(CATALOG, SUMS), "manifest.json is missing"),
        (tar_of(manifest(), SUMS), "catalog.json is missing"),
        (tar_of(manifest(), CATALOG, CATALOG), "catalog.json is there twice"),
        (tar_of(manifest(), member("../../etc/passwd", b"x")), "none of a bundle's"),
        (tar_of(manifest(), member("/etc/passwd", b"x")), "none of a bundle's"),
        (tar_of(manifest(), member(f"packages/{sha(SDS)}/../x", b"x")), "none of a bundle's"),
        (tar_of(manifest(), member("packages/short/x.deb", b"x")), "none of a bundle's"),
        (
            tar_of(manifest(), member("catalog.json", type=tarfile.SYMTYPE, linkname="/etc/x")),
            "is no plain file",
        ),
        (
            tar_of(manifest(), member("catalog.json", type=tarfile.LNKTYPE, linkname="x")),
            "is no plain file",
        ),
        (tar_of(manifest(), member("catalog.json", type=tarfile.FIFOTYPE)), "is no plain file"),
        (tar_of(member("x", type=tarfile.XHDTYPE), CATALOG), "is no plain file"),
        (lying(GOOD, HUGE), "not octal"),
        (lying(GOOD, b"77777777777\0"), f"at most {PACKAGE_BYTES_MAX}"),
        (lying(GOOD, b"00010000000\0"), "longer than the bundle"),
        (lying(GOOD, b"-0000000001\0"), "not octal"),
        (GOOD.replace(b"manifest", b"nanifest", 1), "header is damaged"),
        (tar_of(manifest(version=2), CATALOG, SUMS), "version 1 is expected"),
        (tar_of(manifest(format="zip"), CATALOG, SUMS), "'zip' version 1"),
        (tar_of(member("manifest.json", b"["), CATALOG, SUMS), "manifest.json"),
        (tar_of(member("manifest.json", b"[" * 9999), CATALOG, SUMS), "manifest.json"),
        (tar_of(manifest(), member("catalog.json", b"\xff"), SUMS), "no UTF-8 text"),
        (tar_of(manifest(), member("catalog.json", b"{}"), SUMS), "version is missing"),
        (tar_of(manifest(), CATALOG, SUMS, member(STRANGER, SDS)), "not in the manifest"),
        (tar_of(manifest((STRANGER, sha(SDS), 1)), CATALOG, SUMS), "not there as it says"),
        (
            tar_of(manifest((STRANGER, sha(SDS), 1)), CATALOG, SUMS, member(STRANGER, SDS)),
            "not there as it says",
        ),
        (
            tar_of(manifest((STRANGER, sha(b""), len(SDS))), CATALOG, SUMS, member(STRANGER, SDS)),
            "another SHA-256",
        ),
        (
            tar_of(manifest((STRANGER, sha(SDS), len(SDS))), CATALOG, SUMS, member(STRANGER, SDS)),
            "nothing that the catalog names",
        ),
    ],
)
def test_what_is_no_bundle_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], raw: bytes, said: str
) -> None:
    path = tmp_path / "b"
    path.write_bytes(raw)
    with pytest.raises(BundleError) as refused:
        open_bundle(path)
    assert re.search(said, str(refused.value))
    assert "\n" not in str(refused.value)
    assert main(["bundle", "verify", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_catalog_whose_file_is_not_in_the_bundle_is_refused(depot: Depot) -> None:
    text = depot.catalog.read_bytes()
    depot.bundle.write_bytes(tar_of(manifest(), member("catalog.json", text), SUMS))
    with pytest.raises(BundleError, match="is not there in its size"):
        open_bundle(depot.bundle)


# --- what the scheduler makes of it ---------------------------------------------------------------


def settings_with(**changes: object) -> Settings:
    change: Callable[..., Settings] = attrs.evolve
    return change(SETTINGS, **changes)


def test_the_scheduler_takes_catalog_and_files_from_the_bundle(depot: Depot) -> None:
    depot.build()
    catalog, shelf, notes = read_packages(settings_with(packages_bundle=depot.bundle))
    assert catalog is not None
    assert [package.component for package in catalog.packages] == ["sds", "dependency"]
    assert set(shelf.digests) == {sha(SDS), sha(NUMACTL)}
    assert notes == ()
    item = shelf.items[sha(SDS)]
    assert depot.bundle.read_bytes()[item.offset :][: item.size_bytes] == SDS


def test_a_damaged_bundle_refuses_the_start(depot: Depot) -> None:
    depot.build()
    raw = depot.bundle.read_bytes()
    depot.bundle.write_bytes(raw.replace(b"sdssds", b"sdsdds", 1))
    with pytest.raises(BadInputError, match=r"^-packages.bundle: .*sds.deb is damaged"):
        read_packages(settings_with(packages_bundle=depot.bundle))


def test_a_folder_serves_what_is_right_and_names_what_is_not(depot: Depot) -> None:
    folder = depot.folder / "dir"
    folder.mkdir()
    with_dir = settings_with(catalog=depot.catalog, packages_dir=folder)
    (folder / "sds.deb").write_bytes(SDS)
    for content, why in (
        (None, "there is no such file"),
        (b"x", "it has 1 bytes, the catalog says 7000"),
        (b"x" * len(NUMACTL), "its SHA-256 is not the catalog's"),
    ):
        if content is not None:
            (folder / "numactl.deb").write_bytes(content)
        _, shelf, notes = read_packages(with_dir)
        assert shelf.digests == {sha(SDS)}
        line = f"-packages.dir: {folder}: no numactl.deb for dependency numactl 2.0: {why}"
        assert notes == (line,)
    (folder / "numactl.deb").write_bytes(NUMACTL)
    assert read_packages(with_dir)[1].digests == {sha(SDS), sha(NUMACTL)}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-packages.dir=DIR"], "-packages.dir: which files? give their -catalog, too"),
        (["-packages.bundle=FILE", "-catalog=FILE"], "it brings its own catalog and files"),
        (["-packages.bundle=FILE", "-packages.dir=DIR"], "it brings its own catalog and files"),
        (["-packages.bundle=/nowhere"], "there is no such file"),
        (["-packages.no-proxy=a"], "without what? give -packages.proxy, too"),
        (["-packages.proxy=https://proxy:3128"], "is not http://HOST:PORT without credentials"),
        (["-packages.proxy=http://proxy"], "is not http://HOST:PORT without credentials"),
        (["-packages.proxy=http://u:word@proxy:3128"], "holds credentials, and task environments"),
        (["-packages.proxy=http://p:3128", "-packages.no-proxy=a b"], "is not a comma list"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    depot: Depot, tmp_path: Path, flags: list[str], said: str
) -> None:
    given = [f.replace("DIR", str(tmp_path)).replace("FILE", str(depot.catalog)) for f in flags]
    with pytest.raises(SettingsError) as refused:
        parse([*MDMS, *given], ENVIRON)
    assert said in str(refused.value)
    assert "word" not in str(refused.value)


def test_a_proxy_and_its_exceptions_are_read() -> None:
    given = ["-packages.proxy=http://proxy.corp:3128/", "-packages.no-proxy=.corp,10.0.0.0/8"]
    settings = parse([*MDMS, *given], ENVIRON)
    assert settings.packages_proxy == "http://proxy.corp:3128"
    assert settings.packages_no_proxy == ".corp,10.0.0.0/8"
