"""What the other services counted of an outage: asked of this same process, or of a neighbour over HTTP."""

from datetime import datetime
from http import HTTPStatus
from typing import Final, Literal, TypeVar

import aiohttp
from pydantic import BaseModel

from services.common import tally
from services.common.http.endpoint import API
from services.common.service import Kernel
from services.escalation.faults.detection.probes import base_url

Neighbour = Literal["movecar", "outbound"]
FiguresT = TypeVar("FiguresT", bound=BaseModel)

_OUR_NAME: Final = "escalation"
_MAX_BYTES: Final = 16 * 1024


class Refused(Exception):
    """The neighbour did not count, or answered what cannot be an answer."""


class Tallies:
    """Asks whoever counts. There is no limit of time here: whoever asks has one."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def of(
        self, service: Neighbour, begin: datetime, end: datetime, figures: type[FiguresT]
    ) -> FiguresT:
        """Return what a service counts of a span. Raises what the network or its database raises, ValueError
        for figures that are none, Refused.
        """
        if here := self._kernel.tallies.get(service):
            # The same process: at its start it would not answer itself over HTTP yet.
            return figures.model_validate((await here(begin, end)).model_dump())
        return figures.model_validate_json(await self._ask(service, begin, end))

    async def _ask(self, service: Neighbour, begin: datetime, end: datetime) -> bytes:
        kernel = self._kernel
        settings = kernel.settings
        address = {"movecar": settings.listen, "outbound": settings.outbound_listen}[service]
        token = tally.service_token(_OUR_NAME, kernel.tokens, kernel.clock)
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False) as http,
            http.get(
                base_url(address) + API + tally.path(service),
                params={"from": begin.isoformat(), "to": end.isoformat()},
                headers={"Authorization": f"Bearer {token}"},
                allow_redirects=False,
            ) as response,
        ):
            if response.status != HTTPStatus.OK:
                raise Refused(str(response.status))
            body = b""
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise Refused("too long")
        return body
