from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given, strategies

import settings
from flags.kinds import SWITCH
from flags.secret import STARS
from install_steps.catalog import script_text
from settings import (
    FLAGS,
    HelpRequestedError,
    Redactor,
    Secret,
    Settings,
    SettingsError,
    parse,
    reexec_without_secrets,
)

PASSWORD = "pass<word>&%s"
MDMS = (
    "-scaleio.preconfig.primary=10.0.0.11",
    "-scaleio.preconfig.secondary=10.0.0.12",
    "-scaleio.preconfig.tiebreaker=10.0.0.13",
)
ENVIRON = {"SCALEIO_SCALEIO_PASSWORD": PASSWORD}

ORIGINAL = {
    "loglevel": "info",
    "debug": "false",
    "experimental": "false",
    "rexray.branch": "stable",
    "rest.port": "35000",
    "uri": "127.0.0.1:5050",
    "executor.altpath": "none",
    "executor.cpu.mdm": "1.5",
    "executor.cpu.non": "0.5",
    "executor.cpu.factor": "1",
    "executor.mem.mdm": "3072",
    "executor.mem.non": "512",
    "executor.mem.factor": "1",
    "role": "scaleio",
    "store.uri": "what /etc/mesos/zk names",
    "store.delete": "false",
    "store.dump": "false",
    "store.add.key": "none",
    "store.add.value": "none",
    "store.del.key": "none",
    "scaleio.clustername": "scaleio",
    "scaleio.clusterid": "none",
    "scaleio.lbgateway": "none",
    "scaleio.protectiondomain": "default",
    "scaleio.storagepool": "default",
    "scaleio.apiversion": "2.0",
    "scaleio.preconfig.primary": "none",
    "scaleio.preconfig.secondary": "none",
    "scaleio.preconfig.tiebreaker": "none",
    "scaleio.preconfig.gateway": "the primary MDM",
    "aws.accesskey": "none",
    "aws.secretkey": "none",
    "aws.threshold": "90",
    "aws.checkfull": "60",
    "aws.growthsize": "1024",
}
CHANGED_DEFAULTS = {
    "rexray.version",
    "isolator.binary",
    "rest.address",
    "user",
    "hostname",
    "store.type",
    "scaleio.password",
    *(
        f"scaleio.{system}.{package}"
        for system in ("ubuntu14", "rhel7", "centos7")
        for package in ("mdm", "sds", "sdc", "lia", "gw")
    ),
}


def parsed(*argv: str, **environ: str) -> Settings:
    return parse([*MDMS, *argv], {**ENVIRON, **environ})


def refusal(*argv: str, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parsed(*argv, **environ)
    text = str(caught.value)
    assert "\n" not in text
    assert PASSWORD not in text
    return text


def test_all_57_flags_of_the_original_are_known_with_its_defaults() -> None:
    assert len(ORIGINAL) + len(CHANGED_DEFAULTS) == 57
    shown = {flag.name: flag.shown_default for flag in FLAGS}
    assert {name: shown[name] for name in ORIGINAL} == ORIGINAL
    assert set(shown) >= CHANGED_DEFAULTS


def test_each_attribute_is_named_after_its_flag() -> None:
    for field in attrs.fields(Settings):
        if flag := field.metadata.get("flag"):
            assert field.name == flag.attribute


def test_every_default_but_the_required_ones_is_accepted_when_written_out() -> None:
    for flag in FLAGS:
        if flag.default_text or flag.shown_default == "none":
            continue
        assert parsed(f"-{flag.name}={flag.shown_default}") == parsed()


@pytest.mark.parametrize(
    "argv",
    [
        ["-rest.port=31005"],
        ["--rest.port=31005"],
        ["-rest.port", "31005"],
        ["--rest.port", "31005"],
    ],
)
def test_a_value_may_follow_one_or_two_dashes_and_an_equals_sign_or_a_blank(
    argv: list[str],
) -> None:
    assert parsed(*argv).rest_port == 31005


def test_a_switch_needs_no_value_and_the_last_flag_wins_as_in_go() -> None:
    assert parsed("-debug").debug
    assert parsed("-debug=true").debug
    assert not parsed("-debug", "-debug=false").debug
    assert parsed("-rest.port=1", "-rest.port=2").rest_port == 2


def test_names_are_never_abbreviated() -> None:
    assert refusal("-rest.por", "5") == "-rest.por: no such flag; did you mean -rest.port?"


def test_an_argument_that_is_no_flag_is_refused_without_repeating_it() -> None:
    text = refusal("-loglevel=info", "hunter2")
    assert text == "unexpected argument after -loglevel: flags look like -name=value"


def test_a_flag_at_the_end_needs_its_value() -> None:
    assert refusal("-rest.port").startswith("-rest.port: needs a value")


def test_flag_beats_our_variable_beats_the_originals_variable_beats_the_default() -> None:
    assert parsed().rest_port == 35000
    assert parsed(REST_PORT="1").rest_port == 1
    assert parsed(REST_PORT="1", SCALEIO_REST_PORT="2").rest_port == 2
    assert parsed("-rest.port=3", REST_PORT="1", SCALEIO_REST_PORT="2").rest_port == 3
    assert parsed(SCALEIO_REST_PORT="").rest_port == 35000


def test_b3_generic_variables_count_only_with_compat_env() -> None:
    generic = {"USER": "alice", "HOSTNAME": "box", "DEBUG": "true", "ROLE": "other"}
    plain = parsed(**generic)
    assert (plain.role, plain.debug) == ("scaleio", False)
    assert plain.hostname != "box"
    for compat in (
        parsed("-compat.env", **generic),
        parsed(**generic, SCALEIO_COMPAT_ENV="true"),
    ):
        assert (compat.user, compat.hostname, compat.debug, compat.role) == (
            "alice",
            "box",
            True,
            "other",
        )


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("10.0.0.21:5050", ("http://10.0.0.21:5050",)),
        ("m1:5050,m2:5051", ("http://m1:5050", "http://m2:5051")),
        ("http://m1:5050/api/v1/scheduler", ("http://m1:5050",)),
        ("https://m1:5443", ("https://m1:5443",)),
        ("[::1]:5050", ("http://[::1]:5050",)),
    ],
)
def test_b1_masters_may_be_host_and_port_or_a_full_url(text: str, urls: tuple[str, ...]) -> None:
    assert parsed(f"-uri={text}").master_urls == urls


def test_b1_the_default_master_is_usable() -> None:
    assert parsed().master_urls == ("http://127.0.0.1:5050",)


@pytest.mark.parametrize(
    "text", ["", ",", "m1:0", "m1:99999", "ftp://m1", "http://u:p@m1", "m1/x", "a b", "http://[::1"]
)
def test_other_texts_are_no_masters(text: str) -> None:
    assert refusal(f"-uri={text}").startswith("-uri: ")


@pytest.mark.parametrize(
    ("text", "shown", "credentials"),
    [
        ("zk://h1:2181,h2:2182/mesos", "zk://h1:2181,h2:2182/mesos", ""),
        ("ZK://h1,[::1]/a/b/", "zk://h1:2181,[::1]:2181/a/b", ""),
        (" zk://u:p:w,@h1/mesos\n", "zk://h1:2181/mesos", "u:p:w,"),
    ],
)
def test_zookeeper_may_name_the_masters(text: str, shown: str, credentials: str) -> None:
    found = parsed(f"-uri={text}")
    assert (found.uri, found.master_ensemble, found.master_urls) == ((shown,), shown, ())
    assert found.master_credentials.reveal() == credentials


def test_named_masters_have_no_ensemble() -> None:
    found = parsed("-uri=m1:5050,m2")
    assert (found.master_ensemble, bool(found.master_credentials)) == ("", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("zk://h1:2181", "names no path"),
        ("zk://h1:2181/", "usually zk://HOST:PORT/mesos"),
        ("zk://h1:2181/mesos,m1:5050", "either the masters as a comma list, or one zk://"),
        ("m1:5050,zk://h1:2181/mesos", "either the masters as a comma list, or one zk://"),
        ("zk://h1:2181,http://m1:5050", "'http:' is no HOST:PORT"),
        ("zk:///mesos", "'' is no HOST:PORT"),
        ("zk://h1:0/mesos", "has no port between 1 and 65535"),
        ("zk://h1/../mesos", "is no ZooKeeper path"),
    ],
)
def test_an_ensemble_that_names_no_masters_is_refused_in_one_line(text: str, words: str) -> None:
    assert words in refusal(f"-uri={text}")


@pytest.mark.parametrize(
    "text",
    [
        "zk://u:Hidden-1@h1:0/mesos", "zk://u:Hidden-1/x@h1/mesos", "zk://u:x/Hidden-1@h1/mesos",
        "zk://u:Hidden-1@h1", "zk://Hidden-1@h1/mesos", "m1,zk://u:Hidden-1@h1/mesos",
        "zk://u:Hidden-1@h1/mesos,m1", "http://u:Hidden-1@m1", "u:Hidden-1@m1:5050",
        f"zk://u:{'x' * 90}Hidden-1@h1", "zk://u:@Hidden-1@h1/..",
    ],
)  # fmt: skip
@pytest.mark.parametrize("flag", ["uri", "scaleio.lbgateway"])
def test_an_address_with_a_password_is_refused_without_showing_it(flag: str, text: str) -> None:
    shown = refusal(f"-{flag}={text}")
    assert "Hidden" not in shown
    assert "***@" in shown


def test_the_password_of_an_ensemble_does_not_show_itself() -> None:
    found = parsed("-uri=zk://u:Hidden-1@h1/mesos")
    for text in (repr(found), str(attrs.asdict(found)), found.master_ensemble, *found.uri):
        assert "Hidden" not in text
    (warning,) = found.warnings
    assert warning.startswith("-uri: a password on the command line stands in ps")
    assert parsed(SCALEIO_URI="zk://u:Hidden-1@h1/mesos").warnings == ()


def test_masters_of_an_ensemble_speak_tls_where_certificates_are_given(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.touch()
    assert parsed("-uri=zk://h1/mesos").master_scheme == "http"
    assert parsed("-uri=zk://h1/mesos", f"-mesos.ca-file={file}").master_scheme == "https"
    assert parsed("-uri=zk://h1/mesos", f"-mesos.cert-file={file}").master_scheme == "https"


def test_our_address_is_the_one_that_faces_the_ensemble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "address_towards", lambda *urls: "-".join(urls[:-1]))
    assert parsed("-uri=zk://u:pass@h1,h2:7/mesos").rest_advertised == "[h1:2181-h2:7]"
    assert parsed("-uri=h1").rest_advertised == "[http://h1:5050]"


def test_b2_the_check_interval_has_a_variable_of_its_own() -> None:
    assert refusal(AWS_USED_THRESHOLD="80").startswith("variable AWS_USED_THRESHOLD: not built")
    assert refusal(AWS_CHECKFULL="30").startswith("variable AWS_CHECKFULL: not built")


def test_b4_an_interval_of_zero_is_refused() -> None:
    assert "whole number from 1" in refusal("-aws.checkfull=0")


def test_b5_the_api_version_comes_from_its_own_variable() -> None:
    settings = parse(MDMS, {"ADMIN_PASSWORD": PASSWORD, "API_VERSION": "3.6"})
    assert settings.scaleio_apiversion == "3.6"
    assert settings.scaleio_password == Secret(PASSWORD)


def test_b8_the_announced_address_is_never_empty_and_ipv6_wears_brackets() -> None:
    assert parsed().rest_advertised
    assert parsed("-rest.address=10.0.0.5").rest_advertised == "10.0.0.5"
    six = parsed("-rest.address=fd00::5")
    assert (six.rest_advertised, six.rest_bind) == ("[fd00::5]", "fd00::5")


@pytest.mark.parametrize(
    "argument",
    [
        "-experimental",
        "-executor.altpath=/x",
        "-executor.cpu.mdm=2",
        "-executor.cpu.factor=0.5",
        "-executor.mem.mdm=4096",
        "-executor.mem.factor=0.5",
        "-scaleio.ubuntu14.sds=http://x/y.deb",
        "-scaleio.centos7.gw=http://x/y.rpm",
        "-rexray.branch=unstable",
        "-rexray.version=latest",
        "-isolator.binary=http://x/y.so",
        "-store.type=boltdb",
        "-rexray.username=rexray",
        "-rexray.password-file=/etc/hostname",
        "-aws.accesskey=AKIA0000",
        "-aws.threshold=80",
        "-aws.growthsize=1",
    ],
)
def test_what_is_not_built_refuses_the_start_and_names_itself(argument: str) -> None:
    text = refusal(argument)
    assert text.startswith(argument.partition("=")[0] + ":")
    assert "not built" in text or "no longer" in text


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("-rest.port=70000", "65535"),
        ("-rest.port=35,000", "whole number"),
        ("-debug=maybe", "true or false"),
        ("-executor.cpu.non=nan", "greater than 0"),
        ("-devices.claim-delay=1m", "seconds"),
        ("-scaleio.clustername=" + "n" * 32, "31"),
        ("-role=../x", "path"),
        ("-health.capacity-high=90", "-health.capacity-critical"),
        ("-catalog=/nowhere", "no such file"),
        ("-steps.dir=/dev/null", "no such directory"),
        ("-scaleio.preconfig.gateway=ftp://x", "host:port"),
        ("-scaleio.preconfig.secondary=10.0.0.11", "differ"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_says_what_is_expected(
    argument: str, expected: str
) -> None:
    assert expected in refusal(argument)


def test_loop_devices_are_disks_only_when_a_lab_says_so() -> None:
    assert not parsed().devices_allow_loop
    assert parsed("-devices.allow-loop").devices_allow_loop
    assert parsed(SCALEIO_DEVICES_ALLOW_LOOP="true").devices_allow_loop


def test_the_agents_service_is_named_with_the_characters_that_its_steps_allow() -> None:
    allowed = re.search("allow AGENT_UNIT '([^']+)'", script_text("agent-restart"))
    assert allowed is not None
    for character in map(chr, range(1, 256)):
        unit = f"mesos{character}1"
        if re.fullmatch(f"[{allowed[1]}]", character):
            assert parsed(f"-agent.unit={unit}").agent_unit == unit
        else:
            assert "-agent.unit" in refusal(f"-agent.unit={unit}")


@pytest.mark.parametrize(
    ("given", "unit"),
    [
        ("", ""),
        ("mesos-slave", "mesos-slave"),
        ("mesos-agent@a1", "mesos-agent@a1"),
        ("mesos-agent.service", "mesos-agent"),  # the steps add the suffix where it belongs
    ],
)
def test_the_agents_service_may_be_named_as_systemd_writes_it(given: str, unit: str) -> None:
    assert parsed(f"-agent.unit={given}").agent_unit == unit
    assert parsed(SCALEIO_AGENT_UNIT=given).agent_unit == unit


@pytest.mark.parametrize("given", ["-x", "..", ".service", "a/b", "m" * 200])
def test_other_texts_are_no_service_of_an_agent(given: str) -> None:
    assert "a service's name" in refusal(f"-agent.unit={given}")


def test_a_wrong_variable_is_named() -> None:
    expected = "variable REST_PORT: 'x' is not a whole number from 0 to 65535"
    assert refusal(REST_PORT="x") == expected


@pytest.mark.parametrize("count", [0, 1, 2])
def test_all_three_mdms_are_required_and_refusal_means_exit_code_2(count: int) -> None:
    with pytest.raises(SettingsError, match=r"-scaleio\.preconfig\.tiebreaker") as caught:
        parse(MDMS[:count], ENVIRON)
    assert caught.value.exit_code == 2


def test_the_gateway_is_the_preconfigured_one_else_the_primary_mdm() -> None:
    assert parsed("-scaleio.lbgateway=lb:443").gateway_address == "10.0.0.11"
    assert parsed("-scaleio.preconfig.gateway=gw:8443").gateway_address == "gw:8443"
    assert Settings(scaleio_lbgateway="lb:443").gateway_address == "lb:443"


def test_debug_means_that_nothing_is_rebooted() -> None:
    assert parsed().reboots_at_a_time == 1
    assert parsed("-debug").reboots_at_a_time == 0


def test_help_is_asked_for_before_anything_is_required() -> None:
    with pytest.raises(HelpRequestedError):
        parse(["--help"], {})


def test_help_and_docs_show_every_flag_with_variable_default_and_meaning() -> None:
    text, table = settings.help_text(80), settings.docs_table()
    assert max(map(len, text.splitlines())) <= 90  # long words are not cut
    for flag in FLAGS:
        assert f"\n  -{flag.name}" in f"\n{text}"
        assert flag.own_variable in text
        assert f"| `{flag.name}` | {flag.own_variable}" in table
        assert flag.explained.strip()
        assert flag.kind is not SWITCH or f"-{flag.name}=" not in text


# --- secrets -----------------------------------------------------------------------------------


def test_the_password_is_required_and_none_is_built_in() -> None:
    with pytest.raises(SettingsError, match=r"^-scaleio\.password-file: required"):
        parse(MDMS, {})


def test_the_password_comes_from_a_file_and_its_line_end_is_no_part_of_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    found = parse([*MDMS, f"-scaleio.password-file={file}"], {"ADMIN_PASSWORD": "other"})
    assert found.scaleio_password.reveal() == PASSWORD


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff\xfe", b"x" * 5000, b"abc"])
def test_a_useless_password_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    assert refusal(f"-scaleio.password-file={file}").startswith("-scaleio.password-file: ")


def test_an_unreadable_password_file_is_named_with_the_reason() -> None:
    assert refusal("-scaleio.password-file=/no/such") == (
        "-scaleio.password-file: '/no/such': No such file or directory"
    )
    assert "Is a directory" in refusal("-scaleio.password-file=/")


def test_password_and_file_on_the_same_level_are_refused_and_the_stronger_level_wins(
    tmp_path: Path,
) -> None:
    file = tmp_path / "password"
    file.write_text("from the file")
    assert "give one of them" in refusal("-scaleio.password=abcd", f"-scaleio.password-file={file}")
    found = parsed("-scaleio.password=abcd", SCALEIO_SCALEIO_PASSWORD_FILE=str(file))
    assert found.scaleio_password.reveal() == "abcd"


def test_a_secret_does_not_show_itself() -> None:
    found = parsed()
    secret = found.scaleio_password
    assert (str(secret), repr(secret), f"{secret}") == ((STARS,) * 3)
    for text in (repr(found), str(attrs.asdict(found)), str(vars(Settings))):
        assert PASSWORD not in text
    assert secret.matches(PASSWORD)
    assert not secret.matches("x")
    assert not Secret("").matches("")


def test_a_wrong_secret_is_not_repeated() -> None:
    text = refusal("-aws.secretkey=abc\ndef")
    assert text == "-aws.secretkey: *** is not a secret of 4 or more printable characters"


@pytest.mark.parametrize(
    "written",
    [PASSWORD, "pass&lt;word&gt;&amp;%s", "pass%3Cword%3E%26%25s", "cGFzczx3b3JkPiYlcw=="],
)
def test_the_redactor_finds_a_secret_in_every_way_of_writing(written: str) -> None:
    assert Redactor([Secret(PASSWORD)])(f"a {written} b") == "a *** b"


def test_the_redactor_leaves_everything_else_alone() -> None:
    redactor = Redactor([Secret("abc"), Secret("")])  # too short to be hidden
    assert redactor("abc %s {}") == "abc %s {}"


def test_the_bearer_token_is_read_from_its_file_and_must_be_long(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    assert parsed(f"-rest.token-file={file}").rest_token.reveal() == "0123456789abcdef"
    file.write_text("short")
    assert "16 characters" in refusal(f"-rest.token-file={file}")
    assert not parsed().rest_token


def test_a_password_on_the_command_line_and_misspelt_variables_are_warned_about() -> None:
    (warning,) = parsed("-scaleio.password=abcd").warnings
    assert warning.startswith("-scaleio.password: ")
    (warning,) = parsed(SCALEIO_REST_PROT="1").warnings
    assert warning.startswith("variable SCALEIO_REST_PROT: there is no such flag")
    assert parsed().warnings == ()


PROGRAM = """
import os, sys
sys.path.insert(0, sys.argv.pop(1))
import settings
settings.reexec_without_secrets(sys.argv[1:], os.environ)
found = settings.parse(sys.argv[1:], os.environ)
shown = open("/proc/self/cmdline").read() + open("/proc/self/environ").read()
print(found.scaleio_password.matches("hidden secret"), "hidden secret" in shown,
      found.rest_port, len(found.warnings), "hidden secret" in repr(sys.argv))
"""


@pytest.mark.parametrize(
    "argv", [["-scaleio.password=hidden secret"], ["--scaleio.password", "hidden secret"]]
)
def test_the_process_starts_again_without_the_password_among_its_arguments(
    tmp_path: Path, argv: list[str]
) -> None:
    script = tmp_path / "program.py"
    root = str(Path(settings.__file__).parent)
    script.write_text(PROGRAM.replace("sys.argv.pop(1)", repr(root)))
    done = subprocess.run(
        [sys.executable, str(script), *argv, "-rest.port=7", *MDMS],
        capture_output=True,
        text=True,
        check=True,
        env={key: value for key, value in os.environ.items() if key == "PATH"},
        timeout=60,
    )
    assert done.stdout.split() == ["True", "False", "7", "1", "False"]


@pytest.mark.parametrize(
    "argv", [[], ["-rest.port=1"], ["-scaleio.password=x", "-scaleio.password-file=y"]]
)
def test_nothing_is_started_again_without_need(argv: list[str]) -> None:
    started: list[object] = []
    reexec_without_secrets(argv, {}, execute=lambda *call: started.append(call))
    assert started == []


# --- any text ----------------------------------------------------------------------------------

TEXTS = strategies.text(max_size=20) | strategies.sampled_from(
    ["", "true", "0", "-1", "1e3", "nan", "/", "/dev/null", "zk://a", "http://[", "a:b:c", "%", "$"]
)
NAMES = strategies.sampled_from([flag.name for flag in FLAGS])
ARGUMENTS = strategies.one_of(
    strategies.text(max_size=20),
    strategies.builds("-{}".format, NAMES),
    strategies.builds("-{}={}".format, NAMES, TEXTS),
    strategies.builds("--{}={}".format, NAMES, TEXTS),
)
VARIABLES = strategies.sampled_from(
    [flag.own_variable for flag in FLAGS] + [flag.variable for flag in FLAGS if flag.variable]
)


@given(
    argv=strategies.lists(ARGUMENTS, max_size=6),
    environ=strategies.dictionaries(VARIABLES, TEXTS, max_size=4),
    complete=strategies.booleans(),
)
def test_any_arguments_and_variables_give_settings_or_one_line(
    *, argv: list[str], environ: dict[str, str], complete: bool
) -> None:
    if complete:
        argv, environ = [*argv, *MDMS], {**ENVIRON, **environ}
    try:
        assert isinstance(parse(argv, environ), Settings)
    except SettingsError as fault:
        assert str(fault).isprintable()  # noqa: PT017 - both outcomes are right


def test_the_documentation_holds_the_current_table() -> None:
    page = Path(settings.__file__).parent / "docs" / "flags.md"
    assert page.read_text().endswith(f"\n\n{settings.docs_table()}"), "run `make docs`"


def test_no_password_of_an_ensemble_is_in_a_repr() -> None:
    settings = parsed("-store.uri=zk://u:Hush-Hush-1@h:2181/x", "-uri=zk://u:Hush-Hush-2@h/mesos")
    assert "Hush" not in repr(settings)


def test_receivers_of_notifications_are_a_list_of_addresses() -> None:
    found = parsed(
        "-notify.webhook=https://h.example/a?b=c, http://h.example,http://h.example",
        "-notify.alertmanager=http://[::1]:9093/,https://a.example/prefix/api/v2/alerts",
    )
    assert found.notify_webhook == ("https://h.example/a?b=c", "http://h.example/")
    assert found.notify_alertmanager == ("http://[::1]:9093", "https://a.example/prefix")
    assert parsed().notify_webhook + parsed().notify_alertmanager == ()


@pytest.mark.parametrize("flag", ["notify.webhook", "notify.alertmanager"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://u:Hidden-1@h/x", "address 1 holds credentials: put a token into"),
        ("http://h,https://Hidden-1@h", "address 2 holds credentials"),
        ("h:9093/Hidden-1", "address 1 is not http(s)://host"),
        ("ftp://h/Hidden-1", "address 1 is not http(s)://host"),
        ("http:///Hidden-1", "address 1 is not http(s)://host"),
        ("http://h:0/Hidden-1", "address 1 is not http(s)://host"),
        ("http://h:99999/Hidden-1", "address 1 is not http(s)://host"),
        ("http://h/Hidden-1#part", "address 1 is not http(s)://host"),
        ("http://h/Hidden 1\n", "address 1 is not http(s)://host"),
        ("http://[h/Hidden-1", "address 1 is not http(s)://host"),
        (",".join(f"http://h{number}/Hidden-1" for number in range(9)), "8 at most"),
    ],
)
def test_an_address_of_a_receiver_is_refused_in_one_line_that_does_not_show_it(
    flag: str, text: str, words: str
) -> None:
    shown = refusal(f"-{flag}={text}")
    assert words in shown
    assert "Hidden" not in shown


def test_the_address_of_a_receiver_does_not_show_itself() -> None:
    assert "Hidden" not in repr(parsed("-notify.webhook=https://h.example/Hidden-1"))


def test_what_receivers_need_is_refused_where_there_are_none(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "give -notify.webhook, too" in refusal(f"-notify.token-file={file}")
    only = "-notify.alertmanager=http://a:9093"
    assert "give -notify.webhook, too" in refusal(only, f"-notify.token-file={file}")
    assert "whose certificates?" in refusal(f"-notify.ca-file={file}")
    assert parsed(only, f"-notify.ca-file={file}").notify_ca_file == file


def test_how_notifications_are_told() -> None:
    found = parsed("-notify.repeat=0", "-notify.group-wait=0", "-notify.min-severity=critical")
    assert (found.notify_repeat, found.notify_group_wait) == (0, 0)
    assert found.notify_min_severity == "critical"
    assert "one of info, warning, critical" in refusal("-notify.min-severity=loud")
    assert "whole number" in refusal("-notify.repeat=-1")
