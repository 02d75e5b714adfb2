"""The Gateway's wire format: what is asked, and what is made of answers good and bad."""

from __future__ import annotations

import base64
import inspect
import itertools
import json
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.gateway_snapshot import assemble
from protocol.gateway import health, requests, responses, versions
from protocol.gateway.errors import (
    GatewayError,
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnreachableError,
)
from protocol.gateway.requests import GatewayRequest
from protocol.gateway.responses import GatewayAnswer

SECRET = "Correct-Horse-9"
PARSERS: list[Callable[[GatewayAnswer], object]] = [
    responses.token,
    responses.version,
    responses.bearer_tokens,
    responses.done,
    responses.created_id,
    responses.found_id,
    responses.tree,
    responses.systems,
    responses.domains,
    responses.fault_sets,
    responses.pools,
    responses.sds_list,
    responses.devices,
    responses.sdcs,
    responses.alerts,
    responses.volume,
    responses.mdm_cluster,
    responses.pool_statistics_by_id,
    responses.pool_statistics,
]


def answer(
    body: object, *, status: int = 200, content_type: str = "application/json"
) -> GatewayAnswer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return GatewayAnswer(call="GET /x", status=status, content_type=content_type, body=raw)


def body_of(request: GatewayRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.body or b"{}")
    return found


# --- requests


def test_the_api_version_travels_in_the_media_type() -> None:
    made = requests.headers(requests.mdm_cluster(), version=(3, 6), authorization="Basic x")
    assert made["Content-Type"] == made["Accept"] == "application/json;version=3.6"
    assert made["Authorization"] == "Basic x"


def test_a_post_without_parameters_still_has_a_json_body() -> None:
    assert requests.mdm_cluster().body == b"{}"
    made = requests.headers(requests.mdm_cluster(), version=None, authorization=None)
    assert made["Content-Type"] == "application/json"


def test_the_token_is_the_basic_password_and_a_logins_own_credentials_win() -> None:
    login = requests.login("admin", SECRET)
    made = requests.headers(login, version=None, authorization="Bearer session")
    scheme, _, value = made["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(value)) == ("Basic", f"admin:{SECRET}".encode())


def test_a_device_is_asked_for_with_the_small_n() -> None:
    made = body_of(requests.create_device(sds_id="1", pool_id="2", path="/dev/sdb", name=""))
    assert made == {"deviceCurrentPathname": "/dev/sdb", "sdsId": "1", "storagePoolId": "2"}


def test_an_sds_with_one_address_serves_all_roles() -> None:
    made = body_of(requests.create_sds(domain_id="1", name="s", addresses=[("10.0.0.4", "all")]))
    assert made["sdsIpList"] == [{"SdsIp": {"ip": "10.0.0.4", "role": "all"}}]
    assert "faultSetId" not in made


@pytest.mark.parametrize(("api", "sent"), [((2, 5), False), ((3, 5), True), ((4, 5), True)])
def test_a_pools_media_type_is_sent_where_the_release_wants_it(
    *, api: versions.ApiVersion, sent: bool
) -> None:
    made = requests.create_storage_pool(domain_id="1", name="p", media_type="SSD", api=api)
    assert ("mediaType" in body_of(made)) is sent


@pytest.mark.parametrize(("asked_gb", "made_gb"), [(0, 8), (1, 8), (8, 8), (9, 16), (17, 24)])
def test_volume_sizes_are_rounded_up_to_8_gb(asked_gb: int, made_gb: int) -> None:
    made = body_of(requests.create_volume(pool_id="1", name="v", size_gb=asked_gb))
    assert made["volumeSizeInKb"] == str(made_gb * 1024 * 1024)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("n" * 32, "32 characters"), ("", "1 to 31"), ("a b", "no blanks"), ("é", "letters")],
)
def test_a_name_that_does_not_fit_is_refused_with_a_sentence(name: str, complaint: str) -> None:
    with pytest.raises(GatewayRefusedError, match=complaint):
        requests.checked_name(name)


def test_a_name_of_31_characters_passes() -> None:
    assert requests.checked_name("n" * 31) == "n" * 31


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, 1))
def test_no_request_ever_holds_a_force_field(text: str, other: str, late: int) -> None:
    """All builders, called with anything that their signatures take."""
    values: dict[str, Any] = {
        "str": text,
        "int": 8,
        "ApiVersion": (4, 5) if late else (2, 0),
        "ObjectType": "Device",
        "Sequence[str]": [text, other],
        "Sequence[tuple[str, str]]": [(text, other)],
        "Mapping[ObjectType, Sequence[str]]": {"Device": [text, other]},
    }
    called = 0
    for builder in _builders():
        wanted = inspect.signature(builder).parameters
        try:
            made = builder(**{name: values[str(p.annotation)] for name, p in wanted.items()})
        except GatewayRefusedError:
            continue  # the name does not fit
        called += 1
        keys = set(_keys(json.loads(made.body or b"null")))
        assert not [key for key in keys if "force" in key.lower()]
        assert made.method == ("GET" if made.body is None else "POST")
    assert called >= 12


def test_the_force_property_sees_every_builder() -> None:
    assert {"create_device", "create_sds", "create_volume"} <= {b.__name__ for b in _builders()}
    assert len(_builders()) >= 20


def _builders() -> list[Callable[..., GatewayRequest]]:
    return [
        function
        for name, function in inspect.getmembers(requests, inspect.isfunction)
        if not name.startswith("_")
        and function.__module__ == requests.__name__
        and function.__annotations__["return"] == "GatewayRequest"
    ]


def _keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return list(itertools.chain(value, *(_keys(v) for v in value.values())))
    if isinstance(value, list):
        return list(itertools.chain(*(_keys(v) for v in value)))
    return []


# --- versions


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('"2.5"', (2, 5)),
        ("3.6\n", (3, 6)),
        (" 4.5.2.1", (4, 5)),
        ("R10.12", (10, 12)),
        ("two", None),
        ("", None),
    ],
)
def test_versions_are_pairs_of_numbers(text: str, version: versions.ApiVersion | None) -> None:
    assert versions.parse_version(text) == version


def test_a_later_release_is_asked_for_at_least_as_much() -> None:
    asked = [set(versions.pool_statistics(v)) for v in [(2, 0), (2, 5), (3, 6), (5, 1)]]
    assert all(earlier <= later for earlier, later in itertools.pairwise(asked))
    assert "degradedFailedCapacityInKb" in asked[0]


# --- answers


@pytest.mark.parametrize("body", [b'"tok=="', b"tok==", b' "tok=="\n'])
def test_a_token_comes_with_or_without_quotes(body: bytes) -> None:
    assert responses.token(answer(body)) == "tok=="


@pytest.mark.parametrize("body", [b"", b'""', b'"a\\nb"', b"{}", b"[1]", b'"' + b"x" * 99999])
def test_what_cannot_be_a_token_is_not_used_as_one(body: bytes) -> None:
    with pytest.raises(GatewayProtocolError):
        responses.token(answer(body))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"message": "Unauthorized", "errorCode": 0}, GatewayLoginError),
        (401, b"<html>", GatewayLoginError),
        (400, {"message": "sdsId is required", "errorCode": 0}, GatewayRefusedError),
        (403, {"message": "no"}, GatewayRefusedError),
        (404, b"<html>", GatewayProtocolError),
        (404, {"message": "Not found", "errorCode": 0}, GatewayProtocolError),
        (500, {"message": "no such volume", "errorCode": 79}, GatewayRefusedError),
        (500, {"message": "no such volume", "errorCode": "79"}, GatewayRefusedError),
        (500, {"message": "oops", "errorCode": 0}, GatewayUnreachableError),
        (500, b"Traceback", GatewayUnreachableError),
        (503, b"<html>", GatewayUnreachableError),
        (302, b"", GatewayProtocolError),
        (400, b"<html>", GatewayProtocolError),
        (200, b"<html>", GatewayProtocolError),
        (200, b"", GatewayProtocolError),
        (200, {"id": None}, GatewayProtocolError),
        (200, {"id": ""}, GatewayProtocolError),
        (200, {}, GatewayProtocolError),
    ],
)
def test_the_class_of_an_error_says_whose_fault_it_is(
    status: int, body: object, error: type[GatewayError]
) -> None:
    with pytest.raises(error):
        responses.created_id(answer(body, status=status))


def test_a_refusal_carries_the_mdms_code_and_words() -> None:
    refusal = {"message": "SDS busy", "httpStatusCode": 500, "errorCode": 70, "details": [{}]}
    with pytest.raises(GatewayRefusedError, match=r"SDS busy \(error code 70\)") as caught:
        responses.done(answer(refusal, status=500))
    assert caught.value.passing


def test_a_long_refusal_is_cut_and_made_printable() -> None:
    with pytest.raises(GatewayRefusedError) as caught:
        responses.done(answer({"message": "a\n\x1b[31m" + "x" * 9999}, status=400))
    assert len(str(caught.value)) < 500
    assert str(caught.value).isprintable()


def test_unknown_fields_states_and_nulls_never_raise() -> None:
    [sds] = responses.sds_list(
        answer([{"id": "1", "sdsState": "Melting", "ipList": None, "raidControllers": {"x": 1}}])
    )
    assert not health.sds_is_good(sds)
    assert health.sds_detail(sds) == "Melting ? ?"
    [device] = responses.devices(answer([{"id": "1", "deviceState": "InitialTest"}]))
    assert not health.device_is_good(device)


def test_a_name_look_up_answers_with_a_string_or_an_object() -> None:
    assert responses.found_id(answer("cafe0001")) == "cafe0001"
    assert responses.found_id(answer({"id": "cafe0001"})) == "cafe0001"


FIELDS = st.sampled_from(
    [
        "id",
        "System",
        "mdmCluster",
        "ips",
        "sdsList",
        "ipList",
        "access_token",
        "errorCode",
        "message",
        "goodNodesNum",
        "capacityLimitInKb",
        "storagePoolList",
        "affectedObject",
    ]
)
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=12,
)


@given(
    st.binary(max_size=200) | JSONISH.map(lambda v: json.dumps(v).encode()),
    st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 418, 500, 502, 599, 100]),
    st.sampled_from(["", "application/json;version=2.0", "text/html", "APPLICATION/JSON", "x"]),
)
@example(b"[" * 100_000, 200, "")
@example(b'{"a":' * 50_000, 500, "")
@example(b'"\xff\xfe"', 200, "application/json")
@example(b'"\\ud800"', 200, "application/json")
@example(b'{"errorCode": 1e999}', 500, "")
@example(b'{"errorCode": ' + b"9" * 5000 + b"}", 500, "")
def test_no_answer_raises_anything_but_a_gateway_error(
    body: bytes, status: int, content_type: str
) -> None:
    for parser in PARSERS:
        made = _outcome(parser, answer(body, status=status, content_type=content_type))
        if isinstance(made, GatewayError):
            assert str(made)
        else:
            assert 200 <= status < 300
            assert parser is responses.done or made is not None


def _outcome(parser: Callable[[GatewayAnswer], object], given_back: GatewayAnswer) -> object:
    try:
        return parser(given_back)
    except GatewayError as error:
        return error


@given(JSONISH.map(lambda v: json.dumps(v).encode()))
def test_any_tree_that_can_be_read_makes_a_snapshot(body: bytes) -> None:
    try:
        tree = responses.tree(answer(b'{"System": {"id": "1"}, "sdsList": [%s]}' % body))
    except GatewayError:
        return
    made = assemble(tree, taken_at=0.0, api_version=(2, 0), statistics={}, alerts=[], cluster=None)
    assert made.system_id == "1"
    assert not made.mdm_normal


def test_secrets_are_in_no_text_about_a_request_or_an_answer() -> None:
    for made in (requests.login("u", SECRET), requests.bearer_login("u", SECRET)):
        encoded = base64.b64encode(f"u:{SECRET}".encode()).decode()
        assert SECRET not in repr(made) + made.call
        assert encoded not in repr(made) + made.call
    for body in (f'"{SECRET}\x07"', f'{{"access_token": 5, "refresh_token": "{SECRET}"}}', SECRET):
        given_back = answer(body.encode())
        assert SECRET not in repr(given_back)
        for parser in PARSERS:
            outcome = _outcome(parser, given_back)
            if isinstance(outcome, GatewayError):
                assert SECRET not in "".join(traceback.format_exception(outcome))


def test_values_of_the_protocol_are_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        requests.mdm_cluster().path = "/"  # type: ignore[misc]  # that is what is tested
