"""The hosts' download of a package: mirrors, resumption, the cache, and nothing unverified.

The functions of the scripts only read and write below a temporary folder here; no step runs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import pytest
import trustme

from install_steps import texts
from tests.unit.file_server import Files, serving
from tests.unit.test_scripts import function, shell

BODY: Final = bytes(range(256)) * 2000
SHA: Final = hashlib.sha256(BODY).hexdigest()
NAME: Final = "/a/EMC-ScaleIO-sds.deb"
PLACES: Final = "/usr/sbin:/usr/bin:/sbin:/bin"  # no wrappers of a development machine
DAY_S: Final = 86400.0
pytestmark = pytest.mark.skipif(
    shutil.which("curl", path="/usr/bin:/bin") is None, reason="there is no curl here"
)
SHELLS: Final = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
PARTS: Final = ("say", "result_line", "finish", "full_place", "allow", "run", "digest")
TOOLS: Final = (
    "chmod", "dd", "df", "find", "grep", "mkdir", "mv", "rm", "sed", "sha256sum", "sh", "timeout",
    "tr", "wc", "cat",
)  # fmt: skip
ONLY: Final = {
    "curl": ("curl",), "wget": ("wget",), "python": ("python3",), "nothing": (), "all": ("curl",),
}  # fmt: skip


@attrs.frozen
class Fetched:
    code: int
    reason: str
    file: Path | None
    said: str


@attrs.define
class HostShell:
    """`tools`: what there is to download with."""

    folder: Path
    shell: str = "dash"
    tools: str = "curl"

    @property
    def cache(self) -> Path:
        return self.folder / "state" / "cache"

    @property
    def part(self) -> Path:
        return self.cache / f"{SHA}.part"

    def fetch(self, *urls: str, **changes: str) -> Fetched:
        told = {
            "PACKAGE_URL": urls[0],
            "PACKAGE_MIRRORS": " ".join(urls[1:]),
            "PACKAGE_SHA256": SHA,
            "PACKAGE_SIZE": str(len(BODY)),
            "PACKAGE_ALLOW_HTTP": "yes",
            **changes,
        }
        own = (Path(texts.__file__).parent / "scripts" / "_fetch.sh").read_text(encoding="utf-8")
        state, work = self.folder / "state", self.folder / "work"
        work.mkdir(exist_ok=True)
        text = "set -euf\nSTEP=sds\nCHANGED=false\nEXTRA=\n"
        text += "LOCKED=yes\nNO_ROOM=\nWRITING=/\nROOM_MIN=1\n"
        text += f"STATE_DIR={state}\nWORK={work}\n" + "".join(function("sds", n) for n in PARTS)
        text += f'{own}\nexec 9>/dev/null\nfetch_package\nprintf "%s" "$PACKAGE_FILE"\n'
        command = [*([self.shell] if self.shell != "busybox" else ["busybox", "sh"]), "-c", text]
        done = subprocess.run(
            command, cwd=work, text=True, capture_output=True, check=False, timeout=60,
            env={"PATH": str(self._path()), **told},
        )  # fmt: skip
        file = Path(done.stdout) if done.returncode == 0 else None
        reason = done.stdout.partition('"reason":"')[2].partition('"')[0]
        return Fetched(done.returncode, reason, file, done.stderr)

    def _path(self) -> Path:
        path = self.folder / f"bin-{self.tools}"
        if not path.exists():
            path.mkdir()
            for name in (*TOOLS, *SHELLS, *ONLY[self.tools]):
                if found := shutil.which(name, path=PLACES):
                    (path / name).symlink_to(found)
        return path

    def left(self) -> list[str]:
        return sorted(p.name for p in self.cache.iterdir())


@pytest.fixture
def files() -> Iterator[Files]:
    with serving() as served:
        served.bodies[NAME] = BODY
        yield served


@pytest.fixture
def host(tmp_path: Path) -> HostShell:
    return HostShell(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_file_comes_whole_and_only_root_can_reach_it(
    host: HostShell, files: Files, shell: str
) -> None:
    host.shell = shell
    done = host.fetch(files.url + NAME)
    assert done.file is not None, done.said
    assert done.file.read_bytes() == BODY
    assert done.file.name == f"{SHA}-EMC-ScaleIO-sds.deb"
    assert host.cache.stat().st_mode & 0o777 == 0o700
    assert host.left() == [done.file.name]


@pytest.mark.parametrize("shell", SHELLS)
def test_mirrors_are_tried_in_turn(host: HostShell, files: Files, shell: str) -> None:
    host.shell = shell
    files.bodies["/bad.deb"] = b"x" * len(BODY)
    done = host.fetch(
        "http://127.0.0.1:9/sds.deb", files.url + "/gone.deb", files.url + "/bad.deb",
        files.url + NAME,
    )  # fmt: skip
    assert (done.code, done.file and done.file.read_bytes() == BODY) == (0, True)
    assert [path for path, _ in files.asked] == ["/gone.deb", "/bad.deb", NAME]
    wrong = [line for line in done.said.splitlines() if "/bad.deb: SHA-256" in line]
    assert len(wrong) == 1
    assert f"the catalog says {SHA}" in wrong[0]


@pytest.mark.parametrize(
    ("paths", "ended"),
    [
        (["/bad.deb"], (65, "checksum")),
        (["/long.deb"], (65, "size")),
        (["/short.deb"], (65, "size")),
        (["/bad.deb", "/short.deb"], (65, "size")),
        (["/bad.deb", "/gone.deb"], (75, "download")),
        (["/gone.deb", "/bad.deb"], (75, "download")),
        (["/gone.deb"], (75, "download")),
    ],
)
def test_wrong_data_is_a_verdict_only_when_every_mirror_gave_it(
    host: HostShell, files: Files, paths: list[str], ended: tuple[int, str]
) -> None:
    files.bodies |= {"/bad.deb": b"x" * len(BODY), "/long.deb": BODY + b"x", "/short.deb": BODY[1:]}
    done = host.fetch(*(files.url + path for path in paths))
    assert (done.code, done.reason) == ended
    assert host.left() == []


def test_an_interrupted_download_goes_on_where_it_stopped(host: HostShell, files: Files) -> None:
    files.breaks_after = 100_000
    assert (host.fetch(files.url + NAME).code, host.part.stat().st_size) == (75, 100_000)
    done = host.fetch(files.url + NAME)
    assert done.file is not None
    assert done.file.read_bytes() == BODY
    assert files.asked == [(NAME, ""), (NAME, "bytes=100000-")]


def test_the_next_mirror_goes_on_where_the_first_one_broke_off(
    host: HostShell, files: Files
) -> None:
    files.bodies["/b/sds.deb"] = BODY
    files.breaks_after = 5000
    assert host.fetch(files.url + NAME, files.url + "/b/sds.deb").code == 0
    assert files.asked == [(NAME, ""), ("/b/sds.deb", "bytes=5000-")]


def test_a_server_without_ranges_is_asked_for_the_whole_again(
    host: HostShell, files: Files
) -> None:
    files.breaks_after, files.ranges = 5000, False
    assert host.fetch(files.url + NAME).code == 75
    done = host.fetch(files.url + NAME)
    assert done.file is not None, done.said
    assert done.file.read_bytes() == BODY


@pytest.mark.parametrize("left", [b"x" * 100, BODY + b"x", b"x" * len(BODY)])
def test_what_is_left_of_another_try_is_not_trusted(
    host: HostShell, files: Files, left: bytes
) -> None:
    host.cache.mkdir(parents=True)
    host.part.write_bytes(left)
    done = host.fetch(files.url + NAME)
    assert done.file is not None, done.said
    assert done.file.read_bytes() == BODY


def test_a_cached_file_is_used_again_once_it_is_verified_again(
    host: HostShell, files: Files
) -> None:
    first = host.fetch(files.url + NAME).file
    assert first is not None
    assert host.fetch(files.url + NAME).file == first
    assert len(files.asked) == 1
    first.write_bytes(b"x" * len(BODY))
    assert host.fetch(files.url + NAME).file == first
    assert (first.read_bytes(), len(files.asked)) == (BODY, 2)


def test_old_files_leave_the_cache(host: HostShell, files: Files) -> None:
    host.cache.mkdir(parents=True)
    for name, days in (("old.part", 8), ("young.part", 2)):
        (host.cache / name).write_bytes(b"x")
        then = (host.cache / name).stat().st_mtime - days * DAY_S
        os.utime(host.cache / name, (then, then))
    assert host.fetch(files.url + NAME).code == 0
    assert [name for name in host.left() if name.endswith(".part")] == ["young.part"]


def test_without_room_nothing_is_begun(host: HostShell, files: Files) -> None:
    done = host.fetch(files.url + NAME, PACKAGE_SIZE=str(2**60))
    assert (done.code, done.reason, files.asked) == (75, "space", [])


def test_a_server_that_says_no_length_is_cut_off(host: HostShell, files: Files) -> None:
    files.silent_about_length = True
    files.bodies["/endless.deb"] = b"x" * (80 * 1024 * 1024)
    done = host.fetch(files.url + "/endless.deb", PACKAGE_SIZE="1000")
    assert (done.code, done.reason) == (65, "size"), done.said


@pytest.mark.parametrize("tools", ["wget", "python"])
def test_without_curl_others_do_it(host: HostShell, files: Files, tools: str) -> None:
    if not shutil.which(ONLY[tools][0]):
        pytest.skip(f"there is no {tools} here")
    host.tools = tools
    files.bodies["/long.deb"] = BODY + b"x"
    assert host.fetch(files.url + "/gone.deb").code == 75
    longer = host.fetch(files.url + "/long.deb")
    assert longer.reason == "size", longer.said
    done = host.fetch(files.url + NAME)
    assert done.file is not None, done.said
    assert done.file.read_bytes() == BODY


def test_with_nothing_to_download_with_the_step_says_so(host: HostShell, files: Files) -> None:
    host.tools = "nothing"
    done = host.fetch(files.url + NAME)
    assert (done.code, done.reason) == (78, "curl")


@pytest.mark.parametrize("tools", ["curl", "wget", "python"])
def test_a_certificate_that_nobody_vouches_for_is_refused(host: HostShell, tools: str) -> None:
    host.tools = tools
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with serving(context) as files:
        files.bodies[NAME] = BODY
        done = host.fetch(files.url + NAME)
    assert (done.code, done.reason, files.asked) == (75, "download", [])


def test_a_file_of_the_host_itself_needs_no_network(host: HostShell, tmp_path: Path) -> None:
    seed = tmp_path / "sds.deb"
    assert host.fetch(f"file://{seed}").code == 75
    for content, code in ((BODY, 0), (BODY[1:], 65), (BODY + b"x", 65), (b"x" * len(BODY), 65)):
        shutil.rmtree(host.cache, ignore_errors=True)
        seed.write_bytes(content)
        host.tools = "nothing"
        assert host.fetch(f"file://{seed}").code == code
    assert seed.exists()


def test_plain_http_is_for_the_scheduler_itself_or_by_the_operators_word(
    host: HostShell, files: Files
) -> None:
    url = files.url + NAME
    assert host.fetch(url, PACKAGE_ALLOW_HTTP="").reason == "url"
    own = f"{files.url}/a/"
    assert host.fetch(url, PACKAGE_ALLOW_HTTP="", PACKAGE_OWN="http://10.0.0.1/").reason == "url"
    assert host.fetch(url, PACKAGE_ALLOW_HTTP="", PACKAGE_OWN=own).code == 0
    assert host.fetch("ftp://127.0.0.1/x.deb").reason == "url"


def test_a_proxy_is_for_mirrors_and_not_for_the_scheduler(host: HostShell, files: Files) -> None:
    files.bodies["http://mirror.example.invalid/sds.deb"] = BODY  # what a proxy is asked
    assert host.fetch("http://mirror.example.invalid/sds.deb", PACKAGE_PROXY=files.url).code == 0
    shutil.rmtree(host.cache)
    own = {"PACKAGE_OWN": f"{files.url}/a/", "PACKAGE_PROXY": "http://127.0.0.1:9"}
    assert host.fetch(files.url + NAME, **own).code == 0
    assert host.fetch(files.url + NAME, **own, PACKAGE_NO_PROXY="127.0.0.1").code == 0


def test_what_a_killed_run_has_left_goes_when_all_is_installed(host: HostShell) -> None:
    host.cache.mkdir(parents=True)
    for name in (f"{SHA}-EMC-ScaleIO-sds.deb", f"{SHA}.part", "another.part"):
        (host.cache / name).write_bytes(BODY)
    body = "".join(function("sds", name) for name in ("fetch_named", "forget_package"))
    told = f"FETCH_CACHE={host.cache}\nPACKAGE_SHA256={SHA}\nPACKAGE_URL=https://x{NAME}?a=b/c\n"
    assert shell(f"{told}{body}forget_package\n", host.folder).returncode == 0
    assert host.left() == ["another.part"]
