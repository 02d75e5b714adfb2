"""Whose fault a failure on the Mesos link is; the class decides the reaction."""

from __future__ import annotations


class MesosError(Exception):
    """Base; never raised itself."""


class LocalMesosError(MesosError):
    """We asked for something the protocol forbids: a bug of ours."""


class RemoteMesosError(MesosError):
    """The master broke the protocol: drop the stream, subscribe again."""
