"""What actors may ask of the outside. Adapters implement these; the simulation plugs in below them.

Every method that waits has a timeout of its own and raises one of the named errors; none
returns on silence.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs

from domain.notices import Framework, Message, Receiver
from domain.storage import StorageSnapshot


class StoreError(Exception):
    """The store did not take or give the records; nothing of a failed write stays."""


class StoreConflictError(StoreError):
    """Somebody else wrote: we have lost the leader lock, and must not write any more."""


class StoreInUseError(StoreError):
    """Another scheduler has it now; the text says which, and what to do."""


class Store(Protocol):
    """Versioned records by key ('framework', 'agents/<host>', ...), values are JSON bytes."""

    kind: str  # "sqlite" or "zk": shown to people

    async def load(self) -> Mapping[str, bytes]:
        """Everything there is. Raises StoreError."""

    async def write(self, changes: Mapping[str, bytes | None]) -> None:
        """All or nothing; `None` deletes. Raises StoreError, StoreConflictError."""

    async def close(self) -> None: ...


class SandboxError(Exception):
    """The output of a task could not be read; the text says why and what to do."""


class Sandbox(Protocol):
    async def read(self, *, agent_url: str, framework_id: str, task_id: str, name: str) -> str:
        """The whole file `name` (stdout, stderr), paged and bounded. Raises SandboxError."""


class MesosStream(Protocol):
    """One subscription: raw RecordIO bytes; ends when the master closes it."""

    @property
    def stream_id(self) -> str: ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """To be closed by the reader. Raises MesosUnreachableError where the stream breaks."""


@attrs.frozen(kw_only=True)
class MesosAnswer:
    """What a call was answered: HTTP status, headers in lower case, body text (bounded)."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: str = ""


class MesosUnreachableError(Exception):
    """No answer; `sent` tells whether the request may have been processed."""

    def __init__(self, sentence: str, *, sent: bool) -> None:
        super().__init__(sentence)
        self.sent = sent


class LeaderUnknownError(Exception):
    """Nobody tells who may lead; the text says whom we asked, what came, and what to do."""


class Leaders(Protocol):
    """Where the masters are: a fixed list, or what ZooKeeper tells."""

    async def bases(self) -> tuple[str, ...]:
        """scheme://host:port of each master worth asking, the likeliest leader first.

        Raises LeaderUnknownError within a timeout of its own. Any of them may redirect.
        """

    async def changed(self) -> None:
        """Return when another leader was announced since `bases`; for ever with a fixed list.

        It shortens a pause; a healthy subscription is never left for it.
        """


class CredentialsError(Exception):
    """The master's secret can't be read; the text names the file and what is expected."""


class Mesos(Protocol):
    """HTTP with one master. `base` is scheme://host:port."""

    async def renew_credentials(self) -> bool:
        """Read the secret again; True if it has changed. Raises CredentialsError."""

    def subscribe(
        self, base: str, path: str, body: bytes
    ) -> AbstractAsyncContextManager[MesosStream | MesosAnswer]:
        """POST a SUBSCRIBE; a stream on 200, otherwise the answer. MesosUnreachableError."""

    async def call(self, base: str, path: str, body: bytes, stream_id: str) -> MesosAnswer:
        """POST one call on the single call connection. Raises MesosUnreachableError."""

    async def operator(self, base: str, body: bytes) -> MesosAnswer:
        """POST one operator call to /api/v1. Raises MesosUnreachableError."""

    async def get(self, base: str, path: str) -> MesosAnswer:
        """GET, for /version and /redirect. Raises MesosUnreachableError."""


class Gateway(Protocol):
    """The storage cluster. Errors are those of `protocol.gateway.errors`.

    Creating calls return the new object's id, and the existing one's when the Gateway says
    that the name is taken and the object is what was asked for.
    """

    async def snapshot(self) -> StorageSnapshot: ...
    async def create_protection_domain(self, name: str) -> str: ...
    async def create_storage_pool(
        self, *, domain_id: str, name: str, media_type: str = "", spare_percent: int = 0
    ) -> str: ...
    async def create_fault_set(self, *, domain_id: str, name: str) -> str: ...
    async def create_sds(
        self,
        *,
        domain_id: str,
        name: str,
        addresses: Sequence[tuple[str, str]],
        fault_set_id: str = "",
    ) -> str:
        """`addresses`: (ip, role)."""

    async def add_device(
        self, *, sds_id: str, pool_id: str, path: str, name: str, test_mode: str = ""
    ) -> str: ...
    async def approve_sdc(self, *, guid: str, address: str) -> None: ...
    async def create_volume(self, *, pool_id: str, name: str, size_gb: int) -> str: ...
    async def find_volume(self, name: str) -> str | None: ...
    async def map_volume(self, *, volume_id: str, sdc_id: str) -> None: ...
    async def unmap_volume(self, *, volume_id: str, sdc_id: str) -> None: ...
    async def remove_volume(self, volume_id: str) -> None: ...
    async def remove_sds(self, sds_id: str) -> None:
        """Asked for; its data is moved first, and it stays listed until that is done."""

    async def remove_sdc(self, sdc_id: str) -> None: ...
    async def remove_device(self, device_id: str) -> None:
        """Like an SDS: its data is moved first."""

    async def remove_storage_pool(self, pool_id: str) -> None: ...
    async def remove_protection_domain(self, domain_id: str) -> None: ...
    async def name_sdc(self, *, sdc_id: str, name: str) -> None: ...
    async def set_capacity_thresholds(self, *, pool_id: str, high: int, critical: int) -> None: ...
    async def add_sds_address(self, *, sds_id: str, address: str, role: str) -> None: ...
    async def set_sds_address_role(self, *, sds_id: str, address: str, role: str) -> None: ...
    async def sds_maintenance(self, *, sds_id: str, verb: str) -> None:
        """Enter or leave it: `verb` is the operator's word for the release."""

    async def close(self) -> None:
        """Log out, within a short timeout."""


@attrs.frozen(kw_only=True)
class NoticeAnswer:
    """What a receiver of notifications said: HTTP status, and when to come back if it told."""

    status: int
    detail: str = ""  # for people, without secrets
    retry_after_s: float | None = None


class NoticeUnreachableError(Exception):
    """No answer; `sent` tells whether the message may have arrived. The text holds no secret."""

    def __init__(self, sentence: str, *, sent: bool) -> None:
        super().__init__(sentence)
        self.sent = sent


class Notices(Protocol):
    """Those who are told of conditions."""

    @property
    def receivers(self) -> tuple[Receiver, ...]: ...

    async def deliver(
        self, receiver: Receiver, message: Message, framework: Framework
    ) -> NoticeAnswer:
        """One try. Raises NoticeUnreachableError."""
