"""A small web server on loopback whose answers go wrong on demand, for tests of downloads."""

from __future__ import annotations

import contextlib
import http.server
import re
import ssl
import threading
from collections.abc import Iterator

import attrs

POLL_S = 0.05  # how soon the server sees that it is to stop


@attrs.define
class Files:
    """What the server says; `asked` holds path and range of each request."""

    bodies: dict[str, bytes] = attrs.field(factory=dict)
    ranges: bool = True
    breaks_after: int | None = None  # bytes of the next answer, once
    silent_about_length: bool = False
    asked: list[tuple[str, str]] = attrs.field(factory=list)
    url: str = ""


def _handler(files: Files) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("range", "")
            files.asked.append((self.path, wanted))
            body = files.bodies.get(self.path)
            if body is None:
                self.send_error(404)
                return
            begin = re.fullmatch(r"bytes=(\d+)-", wanted) if files.ranges else None
            first = int(begin.group(1)) if begin else 0
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("content-range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            if not files.silent_about_length:
                self.send_header("content-length", str(len(body) - first))
            self.end_headers()
            end = len(body) if files.breaks_after is None else first + files.breaks_after
            files.breaks_after = None
            with contextlib.suppress(OSError):  # the reader may have seen enough
                self.wfile.write(body[first:end])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Nothing: a test asks for what was asked."""

    return Handler


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> Iterator[Files]:
    files = Files()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(files)) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "http" if context is None else "https"
        files.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(POLL_S,), daemon=True)
        thread.start()
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
