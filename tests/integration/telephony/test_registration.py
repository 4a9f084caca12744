"""A trunk that wants to be registered with, and what the caller hears when it no longer takes us."""

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.stack.asterisk import Asterisk
from deploy.stack.ports import LOOPBACK, free_port
from deploy.stack.seats import authorization
from services.common.ami import Address, AmiLink
from services.common.switches import Registration, Trunk, client_uri
from services.outbound.calls import EVENT_NAMES, TrunkSeen
from services.outbound.pbx import Notice, Pbx

USER, SECRET = "0519110", "a-secret-of-the-trunk"
CHALLENGE = {"realm": "operator", "nonce": "n0nce", "opaque": ""}
ASKS = 'realm="operator", nonce="n0nce", qop="auth"'
DEADLINE = 60.0
_EXPIRES = 12
"""Asterisk registers again ten seconds before."""


class Registrar:
    """A registrar on UDP: takes `USER` with the right secret as long as it is `open`; then says 403."""

    def __init__(self) -> None:
        self.port = free_port()
        self.open = True
        self._over = False
        self.requests: list[str] = []
        self._wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wire.bind((LOOPBACK, self.port))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._over = True
        self._wire.sendto(b"", (LOOPBACK, self.port))  # wakes the thread
        self._thread.join(5)
        self._wire.close()

    def _serve(self) -> None:
        while not self._over:
            data, peer = self._wire.recvfrom(65_536)
            request = data.decode("utf-8", "replace")
            if request.startswith("REGISTER"):
                self.requests.append(request)
            if request.startswith(("REGISTER", "OPTIONS")):
                self._wire.sendto(self._answer(request).encode(), peer)

    def _answer(self, request: str) -> str:
        status, more = self._verdict(request)
        kept = [line for line in request.split("\r\n") if re.match(r"(Via|From|To|Call-ID|CSeq):", line)]
        kept = [f"{line};tag=1" if line.startswith("To:") and "tag=" not in line else line for line in kept]
        return "\r\n".join([f"SIP/2.0 {status}", *kept, *more, "Content-Length: 0", "", ""])

    def _verdict(self, request: str) -> tuple[str, list[str]]:
        if request.startswith("OPTIONS"):
            return "200 OK", []
        if not self.open:
            return "403 Forbidden", []
        given = re.search(r"^Authorization: ([^\r]*)", request, re.MULTILINE)
        if given is None:
            return "401 Unauthorized", [
                'WWW-Authenticate: Digest realm="operator", nonce="n0nce", qop="auth"'
            ]
        if not self._proved(given[1]):
            return "403 Forbidden", []
        contact = re.search(r"^Contact: ([^;\r]*)", request, re.MULTILINE)
        assert contact is not None
        return "200 OK", [f"Contact: {contact[1]};expires={_EXPIRES}", f"Expires: {_EXPIRES}"]

    def _proved(self, given: str) -> bool:
        fields = dict(re.findall(r'(\w+)="?([^",]*)"?', given))
        ours = authorization(
            USER, SECRET, "REGISTER", fields["uri"], CHALLENGE, cnonce=fields["cnonce"], count=fields["nc"]
        )
        return f'response="{fields["response"]}"' in ours


@pytest.fixture(scope="module")
def registrar() -> Iterator[Registrar]:
    made = Registrar()
    yield made
    made.close()


@pytest.fixture(scope="module")
def switch(server_home: Path, quick_prompts: Path, registrar: Registrar) -> Iterator[Asterisk]:
    uri = f"sip:{LOOPBACK}:{registrar.port}"
    server = Asterisk(
        server_home / "registered",
        prompts=quick_prompts,
        trunk_uri=uri,
        trunks=(("trunk", uri),),
        registrations=(("trunk", USER, SECRET),),
    )
    server.start()
    yield server
    server.stop()


async def test_a_trunk_says_when_it_takes_us_and_when_it_no_longer_does(
    switch: Asterisk, registrar: Registrar
) -> None:
    settings = switch.settings
    trunk = Trunk(name="trunk", uri=settings.trunk_uri, registration=Registration(user=USER, secret=SECRET))
    assert trunk.client_uri is not None
    address = Address(settings.ami_host, settings.ami_port)
    link = AmiLink(address, settings.ami_user, settings.ami_secret, wanted=EVENT_NAMES)
    pbx = Pbx(link, {trunk.client_uri: trunk.name})
    running = asyncio.create_task(pbx.run())
    news = pbx.stream()
    try:
        async with asyncio.timeout(DEADLINE):
            # Asterisk registers within ten seconds of its start, and again before it expires.
            assert await _registration(news) == TrunkSeen("trunk", "unregistered", well=True)
            registrar.open = False
            while (seen := await _registration(news)).well:
                pass
            assert seen == TrunkSeen("trunk", "unregistered", well=False)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert registrar.requests
    assert not [request for request in registrar.requests if SECRET in request]


async def _registration(news: AsyncIterator[Notice]) -> TrunkSeen:
    async for notice in news:
        if isinstance(notice, TrunkSeen) and notice.reason == "unregistered":
            return notice
    raise AssertionError("the stream ended")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:sip.example.net", "sip:u@sip.example.net"),
        ("sip:10.0.0.1:5080;transport=udp", "sip:u@10.0.0.1:5080"),
        ("sip:somebody@10.0.0.1", "sip:u@10.0.0.1"),  # the registrar is at the host, whoever the URI names
    ],
)
def test_an_address_of_record_is_the_user_at_the_trunks_host(uri: str, address: str) -> None:
    assert client_uri(uri, "u") == address
