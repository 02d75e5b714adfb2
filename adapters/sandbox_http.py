"""`ports.Sandbox`: a task's output through its agent's `/files/read` (Mesos operator API)."""

from __future__ import annotations

from typing import Final

import attrs
import httpx
import msgspec

from actors.ports import SandboxError

PAGE_BYTES: Final = 65536  # the agent's own cap of one read: 16 pages of memory
STALE_CONNECTIONS: Final = 2
OUTPUT_BYTES_MAX: Final = 4 * 1024 * 1024  # a survey of 64 disks is below 1 MB


@attrs.frozen
class _Page:
    data: str = ""
    offset: int = 0


@attrs.frozen(kw_only=True)
class HttpSandbox:
    client: httpx.AsyncClient

    async def read(self, *, agent_url: str, framework_id: str, task_id: str, name: str) -> str:
        """The file in pages until one comes back empty. Raises SandboxError."""
        path = f"/frameworks/{framework_id}/executors/{task_id}/runs/latest/{name}"
        parts: list[str] = []
        offset = 0
        while offset < OUTPUT_BYTES_MAX:
            page = await self._page(agent_url, path, offset)
            if not page.data:
                return "".join(parts)
            parts.append(page.data)
            # Undecodable bytes come as U+FFFD of three bytes; our scripts print ASCII only.
            offset += len(page.data.encode("utf-8", errors="replace"))
        raise SandboxError(f"{name} of {task_id} is longer than {OUTPUT_BYTES_MAX} bytes")

    async def _get(self, agent_url: str, query: dict[str, str], tries: int) -> httpx.Response:
        """A kept connection may have died with a restarted agent: reading is harmless to repeat."""
        while True:
            try:
                return await self.client.get(f"{agent_url}/files/read", params=query)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                stale = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError)
                if not stale or not tries:
                    why = str(error) or type(error).__name__
                    raise SandboxError(
                        f"the agent's HTTP API at {agent_url} can't be reached ({why}); open it "
                        "to the scheduler's host"
                    ) from error
            tries -= 1

    async def _page(self, agent_url: str, path: str, offset: int) -> _Page:
        query = {"path": path, "offset": str(offset), "length": str(PAGE_BYTES)}
        response = await self._get(agent_url, query, STALE_CONNECTIONS)
        if response.status_code != 200:
            text = " ".join(response.text.split())[:120]
            raise SandboxError(f"{agent_url}/files/read answered {response.status_code} {text}")
        try:
            return msgspec.json.decode(response.content, type=_Page)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise SandboxError(f"{agent_url}/files/read gave no page: {error}") from error
