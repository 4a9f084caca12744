"""What a receiver of pushes has to refuse: forged, changed, old and oversized ones; none is kept."""

import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.desk.receiver import MAX_AGE, MAX_BODY, Store, serve
from services.common.clock import SystemClock
from services.escalation.desk_http import DeskHttp, sign
from services.escalation.feed import Item

SECRET = "what the desk and we both know"
ITEM = json.dumps({"seq": 1, "type": "escalation.raised", "id": "a" * 32, "data": {}}).encode()
BODY_ALONE = f"sha256={hmac.new(SECRET.encode(), ITEM, hashlib.sha256).hexdigest()}"


@dataclass
class Desk:
    port: int
    file: Path

    def push(self, body: bytes, headers: dict[str, str]) -> int:
        """Send; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest("POST", "/push")
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        status = connection.getresponse().status
        connection.close()
        return status

    @property
    def kept(self) -> list[Any]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    file = tmp_path / "items.jsonl"
    server = serve(SECRET, file, ("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Desk(server.server_address[1], file)
    server.shutdown()
    thread.join()
    server.server_close()


def signed(body: bytes = ITEM, *, age: float = 0, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time() - age))
    return {"X-Movecar-Timestamp": stamp, "X-Movecar-Signature": sign(secret, stamp, body)}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        # without a signature, with one of another secret, with one that is none
        (ITEM, dict, 401),
        (ITEM, lambda: signed(secret="guessed"), 401),
        (ITEM, lambda: signed() | {"X-Movecar-Signature": "sha256="}, 401),
        (ITEM, lambda: signed() | {"X-Movecar-Signature": "md5=0"}, 401),
        # the body, or the time, is not what was signed
        (ITEM.replace(b"raised", b"xxxxxx"), signed, 401),
        (ITEM, lambda: signed() | {"X-Movecar-Timestamp": str(int(time.time()) - 1)}, 401),
        # the body alone was signed, without the time before it
        (ITEM, lambda: signed() | {"X-Movecar-Signature": BODY_ALONE}, 401),
        # recorded once and sent again much later; from a clock that is ahead
        (ITEM, lambda: signed(age=MAX_AGE + 60), 401),
        (ITEM, lambda: signed(age=-MAX_AGE - 60), 401),
        # a megabyte and more is not even read; a length that is none
        (b"", lambda: signed() | {"Content-Length": str(MAX_BODY + 1)}, 413),
        (b"", lambda: signed() | {"Content-Length": "-1"}, 411),
        # signed by us and no item all the same
        (b"{", lambda: signed(b"{"), 400),
        (b"[]", lambda: signed(b"[]"), 422),
        (b'{"id": 7}', lambda: signed(b'{"id": 7}'), 422),
    ],
)
def test_what_movecar_did_not_just_send_is_refused_and_not_kept(
    desk: Desk, body: bytes, headers: Callable[[], dict[str, str]], status: int
) -> None:
    assert desk.push(body, headers()) == status
    assert desk.kept == []


def test_an_item_is_kept_once_however_often_it_comes_also_after_a_crash(desk: Desk) -> None:
    assert [desk.push(ITEM, signed()), desk.push(ITEM, signed(age=MAX_AGE - 60))] == [200, 200]
    assert desk.kept == [json.loads(ITEM)]
    with desk.file.open("a") as file:
        file.write('{"id": "half')
    assert not Store(desk.file).keep(json.loads(ITEM))


async def test_what_movecar_pushes_is_taken(desk: Desk) -> None:
    sender = DeskHttp(f"http://127.0.0.1:{desk.port}/push", SECRET, SystemClock())
    async with sender.session(1) as session:
        assert await sender.post(session, Item(1, "escalation.raised", ITEM)) == 200
    assert desk.kept == [json.loads(ITEM)]
