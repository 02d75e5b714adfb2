"""Answers of the Gateway: status, content type and bytes in, values or a `GatewayError` out."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

import attrs
import msgspec

from protocol.gateway.errors import (
    GatewayError,
    GatewayLoginError,
    GatewayProtocolError,
    GatewayRefusedError,
    GatewayUnreachableError,
)
from protocol.gateway.shapes import (
    AlertShape,
    BearerShape,
    CreatedShape,
    DeviceShape,
    DeviceStatisticsShape,
    DomainShape,
    FaultSetShape,
    JointStatisticsShape,
    MdmClusterShape,
    PoolShape,
    PoolStatisticsShape,
    RefusalShape,
    SdcShape,
    SdsShape,
    SdsStatisticsShape,
    SystemShape,
    TreeShape,
    VolumeShape,
)
from protocol.gateway.versions import ApiVersion, parse_version

MESSAGE_CHARACTERS_MAX: Final = 400  # a statistics refusal lists every property there is
TOKEN_CHARACTERS_MAX: Final = 16384  # bearer tokens are a few KB
T = TypeVar("T")


@attrs.frozen(kw_only=True)
class GatewayAnswer:
    """`call` says what was asked. The body may hold a token, so it is in no text of ours."""

    call: str
    status: int
    content_type: str = ""
    body: bytes = attrs.field(default=b"", repr=False)
    date: str = ""  # as the HTTP header says it

    @property
    def is_html(self) -> bool:
        return "html" in self.content_type.lower() or self.body.lstrip()[:1] == b"<"


# --- reading one answer each


def token(answer: GatewayAnswer) -> str:
    """The token of `/api/login`: a JSON string; bare text is taken as well."""
    text = _text(answer)
    if not _fits_a_header(text) or text[0] in "{[":
        raise GatewayProtocolError(f"{answer.call} answered without a usable token")
    return text


def version(answer: GatewayAnswer) -> ApiVersion:
    found = parse_version(_text(answer))
    if found is None:
        raise GatewayProtocolError(f"{answer.call} did not answer with a version number")
    return found


def bearer_tokens(answer: GatewayAnswer) -> BearerShape:
    """A reply without `access_token` means: this Gateway stays with Basic."""
    made = _decoded(answer, BearerShape)
    for text in (made.access_token, made.refresh_token):
        if text is not None and not _fits_a_header(text):
            raise GatewayProtocolError(f"{answer.call} answered with an unusable token")
    return made


def done(answer: GatewayAnswer) -> None:
    """An action was carried out; what the body says does not matter."""
    _accepted(answer)


def created_id(answer: GatewayAnswer) -> str:
    made = _decoded(answer, CreatedShape).id
    if not made:
        raise GatewayProtocolError(f"{answer.call} answered with an empty id")
    return made


def found_id(answer: GatewayAnswer) -> str:
    """A name look-up: a JSON string, or an object with `id`."""
    body = _accepted(answer)
    return _text(answer) if body.lstrip()[:1] == b'"' else created_id(answer)


def gateway_time(date: str) -> float:
    """Unix seconds of an HTTP Date header; 0 where there is none, or none that can be read."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def tree(answer: GatewayAnswer) -> TreeShape:
    return _decoded(answer, TreeShape)


def systems(answer: GatewayAnswer) -> list[SystemShape]:
    return _decoded(answer, list[SystemShape])


def domains(answer: GatewayAnswer) -> list[DomainShape]:
    return _decoded(answer, list[DomainShape])


def fault_sets(answer: GatewayAnswer) -> list[FaultSetShape]:
    return _decoded(answer, list[FaultSetShape])


def pools(answer: GatewayAnswer) -> list[PoolShape]:
    return _decoded(answer, list[PoolShape])


def sds_list(answer: GatewayAnswer) -> list[SdsShape]:
    return _decoded(answer, list[SdsShape])


def devices(answer: GatewayAnswer) -> list[DeviceShape]:
    return _decoded(answer, list[DeviceShape])


def sdcs(answer: GatewayAnswer) -> list[SdcShape]:
    return _decoded(answer, list[SdcShape])


def alerts(answer: GatewayAnswer) -> list[AlertShape]:
    return _decoded(answer, list[AlertShape])


def volumes(answer: GatewayAnswer) -> list[VolumeShape]:
    return _decoded(answer, list[VolumeShape])


def volume(answer: GatewayAnswer) -> VolumeShape:
    return _decoded(answer, VolumeShape)


def mdm_cluster(answer: GatewayAnswer) -> MdmClusterShape:
    return _decoded(answer, MdmClusterShape)


def pool_statistics_by_id(answer: GatewayAnswer) -> dict[str, PoolStatisticsShape]:
    return _decoded(answer, dict[str, PoolStatisticsShape])


def sds_statistics_by_id(answer: GatewayAnswer) -> dict[str, SdsStatisticsShape]:
    return _decoded(answer, dict[str, SdsStatisticsShape])


def device_statistics_by_id(answer: GatewayAnswer) -> dict[str, DeviceStatisticsShape]:
    return _decoded(answer, dict[str, DeviceStatisticsShape])


def joint_statistics(answer: GatewayAnswer) -> JointStatisticsShape:
    return _decoded(answer, JointStatisticsShape)


def pool_statistics(answer: GatewayAnswer) -> PoolStatisticsShape:
    return _decoded(answer, PoolStatisticsShape)


# --- what all answers have in common


def _accepted(answer: GatewayAnswer) -> bytes:
    if 200 <= answer.status < 300:
        if answer.is_html:
            raise GatewayProtocolError(
                f"{answer.call} answered with a web page: is this the Gateway's own address?"
            )
        return answer.body
    raise _failure(answer)


def _failure(answer: GatewayAnswer) -> GatewayError:
    if answer.status == 401:
        return GatewayLoginError(f"the Gateway does not accept the login for {answer.call}")
    if answer.status == 404:
        return GatewayProtocolError(
            f"the Gateway does not know {answer.call} (404): wrong address or release"
        )
    refusal = _refusal(answer)
    code = refusal.error_code or 0 if refusal else 0
    said = _printable(refusal.message or "") if refusal else ""
    if refusal is not None and (code or 400 <= answer.status < 500):
        return GatewayRefusedError(
            code=code,
            message=said or f"{answer.call} was refused without a reason",
            status=answer.status,
        )
    if answer.status >= 500:
        return GatewayUnreachableError(
            f"{answer.call} failed inside the Gateway (HTTP {answer.status})"
            + (f": {said}" if said else "")
        )
    return GatewayProtocolError(f"{answer.call} was answered with HTTP {answer.status}")


def _refusal(answer: GatewayAnswer) -> RefusalShape | None:
    try:
        return msgspec.json.decode(answer.body, type=RefusalShape, strict=False)
    except (ValueError, RecursionError):
        return None


def _decoded(answer: GatewayAnswer, shape: type[T]) -> T:
    body = _accepted(answer)
    try:
        return msgspec.json.decode(body, type=shape, strict=False)
    except msgspec.ValidationError as wrong:  # names a field and a type, never a value
        raise GatewayProtocolError(f"{answer.call}: {_printable(str(wrong))}") from None
    except (ValueError, RecursionError):
        raise GatewayProtocolError(f"{answer.call} did not answer with JSON") from None


def _text(answer: GatewayAnswer) -> str:
    """A JSON string; a few releases and proxies leave out the quotes."""
    body = _accepted(answer).strip()
    try:
        return msgspec.json.decode(body, type=str).strip()
    except (ValueError, RecursionError):
        return body.decode("utf-8", errors="replace").strip().strip('"')


def _fits_a_header(text: str) -> bool:
    return (
        0 < len(text) <= TOKEN_CHARACTERS_MAX
        and text.isascii()
        and text.isprintable()
        and " " not in text
    )


def _printable(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text[:MESSAGE_CHARACTERS_MAX])
    return " ".join(clean.split())
