#!/usr/bin/env python3
"""A push receiver for the desk's own system: what it has to check, as a program that runs.

One file for the system's own Python (3.9 or later), without anything of movecar. It takes what movecar pushes
(`MOVECAR_DESK_PUSH_URL`), refuses what movecar did not send or sent long ago, and writes each item once, as a
line of JSON, to a file from which the desk's system goes on.

Settings are environment variables:
  RECEIVER_SECRET   the secret that movecar signs with (MOVECAR_DESK_PUSH_SECRET)
  RECEIVER_FILE     where items are written (items.jsonl)
  RECEIVER_LISTEN   HOST:PORT (127.0.0.1:8120); put a TLS proxy before it
"""

import contextlib
import hashlib
import hmac
import json
import os
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MAX_BODY = 1024 * 1024
"""Largest item taken, in bytes; a real one has a few thousand."""
MAX_AGE = 300
"""How many seconds a signature is good for, either way: a recorded push cannot be sent again tomorrow."""


class Refused(Exception):
    """A request that is not taken; `status` and the message are the answer."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def check(secret: str, stamp: str, signature: str, body: bytes, now: float) -> dict[str, Any]:
    """Return the item that movecar sent. Raises Refused.

    The signature is looked at first: nothing else of a forged request is believed, nor told about.
    """
    expected = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(f"sha256={expected}".encode(), signature.encode()):
        raise Refused(HTTPStatus.UNAUTHORIZED, "the signature is not ours")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > MAX_AGE:
        raise Refused(HTTPStatus.UNAUTHORIZED, "the timestamp is not of the last minutes")
    try:
        item = json.loads(body)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is not JSON") from None
    if not isinstance(item, dict) or not isinstance(item.get("id"), str):
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, "the item has no id")
    return item


class Store:
    """Items in a file, each id once: movecar repeats what was not answered."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: set[str] = set()
        if path.exists():
            with path.open(encoding="utf-8") as file:
                for line in file:
                    with contextlib.suppress(ValueError):  # the last line before a crash; it comes again
                        self._known.add(json.loads(line)["id"])

    def keep(self, item: dict[str, Any]) -> bool:
        """Write an item to the disk; tell whether it is new."""
        with self._lock:
            if item["id"] in self._known:
                return False
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(item, ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._known.add(item["id"])
            return True


class Handler(BaseHTTPRequestHandler):
    """Takes pushes at any path. A 2xx is given once the item is on the disk."""

    secret: str
    store: Store
    timeout = 30

    def do_POST(self) -> None:
        try:
            item = check(
                self.secret,
                self.headers.get("X-Movecar-Timestamp", ""),
                self.headers.get("X-Movecar-Signature", ""),
                self._body(),
                time.time(),
            )
        except Refused as refusal:
            self._answer(refusal.status, {"error": str(refusal)})
            return
        self._answer(HTTPStatus.OK, {"new": self.store.keep(item)})

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "give a Content-Length")
        if int(length) > MAX_BODY:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "an item is never that large")
        return self.rfile.read(int(length))

    def _answer(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


def serve(secret: str, path: Path, address: tuple[str, int]) -> ThreadingHTTPServer:
    """Return a server that listens; `serve_forever` runs it."""
    handler = type("Receiving", (Handler,), {"secret": secret, "store": Store(path)})
    return ThreadingHTTPServer(address, handler)


def main() -> int:
    """Serve until interrupted. Exit status 2: a setting is missing or wrong."""
    secret = os.environ.get("RECEIVER_SECRET", "")
    host, _, port = os.environ.get("RECEIVER_LISTEN", "127.0.0.1:8120").rpartition(":")
    if not secret or not port.isdigit():
        sys.stderr.write("set RECEIVER_SECRET, and RECEIVER_LISTEN as HOST:PORT\n")
        return 2
    server = serve(secret, Path(os.environ.get("RECEIVER_FILE", "items.jsonl")), (host, int(port)))
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
