"""Whose fault a failed Gateway call is; the class decides the reaction."""

from __future__ import annotations

import attrs


class GatewayError(Exception):
    """Base; never raised itself."""


class GatewayUnreachableError(GatewayError):
    """No answer, a cut answer, or a 5xx that is not the MDM's refusal: try again later."""


class GatewayLoginError(GatewayError):
    """User or password is refused: the operator has to act."""


class GatewayCertificateError(GatewayError):
    """The certificate is not the pinned or trusted one: calls stop until the operator acts."""


class GatewayProtocolError(GatewayError):
    """The answer cannot be understood (HTML, garbage, a missing field): try again, loudly."""


@attrs.define
class GatewayRefusedError(GatewayError):
    """The MDM said no. `code` is its error code (reference of codes: scaleio-gateway 2.10)."""

    code: int
    message: str
    status: int = 500

    def __str__(self) -> str:
        return f"{self.message} (error code {self.code})"

    @property
    def passing(self) -> bool:
        """Codes that mean 'busy, later': 32 retry, 67-70 resources, timeout, link, configuring."""
        return self.code in {32, 67, 68, 69, 70}


@attrs.define
class GatewayUnlistedError(GatewayRefusedError):
    """The name is taken, but the Gateway's own list does not show by what: its view is behind."""

    @property
    def passing(self) -> bool:
        return True
