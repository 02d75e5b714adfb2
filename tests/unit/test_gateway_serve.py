"""`simulate-gateway` as a command: what it prints, whom it lets in, how it ends."""

from __future__ import annotations

import argparse
import os
import signal
from functools import partial
from pathlib import Path

import pytest
import trio

from adapters.gateway_http import HttpGateway
from adapters.gateway_tls import gateway_client
from simulation.gateway_serve import add_arguments, made_gateway, parse_listen, run

GUID = "6a1d4c5e-0f3b-4c52-9c35-0a8b5f7c2d11"


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--listen", "127.0.0.1:65536"), "the port must be from 0 to 65535"),
        (("--listen", "127.0.0.1"), "use HOST:PORT"),
        (("--listen", "127.0.0.1:-1"), "use HOST:PORT"),
        (("--sdc", "nobody"), "use GUID@IP"),
        (("--sdc", f"{GUID}@host"), "use GUID@IP"),
        (("--sds", "1025"), "use 0 to 1024"),
        (("--devices", "0"), "use 1 to 64"),
        (("--fill", "101"), "use 0 to 100"),
        (("--fault", "401"), "use KIND=RATE"),
        (("--fault", "401=often"), "use KIND=RATE"),
        (("--fault", "teapot=0.5"), "use KIND=RATE"),
        (("--fault", "cut=1.5"), "with a rate from 0 to 1"),
        (("--fault", "cut=nan"), "with a rate from 0 to 1"),
    ],
)
async def test_what_cannot_be_is_one_line_and_exit_code_2(
    words: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(arguments("--password", "pw", *words)) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert complaint in said.err
    assert said.out == ""


async def test_the_cluster_is_as_large_and_as_full_as_asked_for() -> None:
    words = ("--sds", "260", "--devices", "27", "--fill", "50", "--fault", "slow=0.5")
    gateway = made_gateway(arguments("--password", "pw", *words))
    state = gateway.state
    [pool] = state.pools.values()
    assert len({address for sds in state.sds.values() for address, _ in sds.ips}) == 260
    assert len(state.devices) == 260 * 27
    assert len({d.path for d in state.devices.values()}) == 27
    assert state.pool_figures(pool).fill_percent == 50.0
    assert gateway.limits
    assert gateway.faults.random_rates == {"slow": 0.5}


async def test_limits_may_be_off() -> None:
    assert not made_gateway(arguments("--password", "pw", "--limits", "off")).limits


async def test_an_unreadable_password_file_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(arguments("--password-file", str(tmp_path / "none"))) == 2
    assert capsys.readouterr().err.endswith("none: No such file or directory\n")


async def test_an_address_that_is_taken_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        assert await run(arguments("--password", "pw", "--listen", f"127.0.0.1:{port}")) == 1
    assert "cannot listen on 127.0.0.1" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--password", "a", "--password-file", "b"], ["--plain"]])
def test_exactly_one_source_of_the_password_is_asked_for(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments(*words)
    assert ended.value.code == 2


def test_addresses_may_be_ipv6_or_left_out() -> None:
    assert parse_listen("[::1]:8443") == ("::1", 8443)
    assert parse_listen(":0") == ("0.0.0.0", 0)


async def test_it_serves_until_it_is_told_to_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a port of the system's choice, a password file and an SDC of the caller's."""
    secret = tmp_path / "secret"
    secret.write_text("Correct-Horse-9\n")
    asked = arguments(
        *("--listen", "127.0.0.1:0", "--plain", "--api", "3.6"),
        *("--password-file", str(secret), "--sdc", f"{GUID}@10.0.9.1"),
    )
    codes: list[int] = []

    async def serve() -> None:
        codes.append(await run(asked))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            printed = ""
            while not printed.endswith("\n"):
                await trio.lowlevel.checkpoint()
                printed += capsys.readouterr().out
            url = printed.split()[-1]
            assert printed == f"simulated ScaleIO Gateway 3.6 at {url}\n"
            async with gateway_client(ca_file=None, fingerprint=None) as client:
                gateway = HttpGateway(
                    client=client,
                    base_url=url,
                    user="admin",
                    password=partial(str, "Correct-Horse-9"),
                    clock=trio.current_time,
                )
                shown = await gateway.snapshot()
            assert len(shown.sdcs) == 3
            assert shown.sdc_by_guid(GUID) is not None
            os.kill(os.getpid(), signal.SIGTERM)
    assert codes == [0]
