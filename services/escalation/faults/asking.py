"""How the commands ask the running escalation process, which may be all that still runs."""

import contextlib
from datetime import timedelta
from typing import Any

import aiohttp

from services.common.clock import SystemClock
from services.common.crypto import Keys
from services.common.http.auth import Principal, Tokens
from services.common.http.endpoint import API
from services.common.ids import new_id
from services.common.settings import Settings


class NoAnswer(Exception):
    """The process could not be asked, or refused; the message says why and what to do."""


def headers(settings: Settings, user: str) -> dict[str, str]:
    """A token of our own making: whoever runs this has the key, and needs no database to show it."""
    clock = SystemClock()
    expires = clock.now() + timedelta(minutes=10)
    person = Principal(user, user, user, "supervisor", new_id(), expires)
    return {
        "Authorization": f"Bearer {Tokens(Keys.from_secret(settings.root_secret()), clock).issue(person)}"
    }


async def address(settings: Settings, http: aiohttp.ClientSession) -> str:
    """Return the address of the running escalation process's API. Raises NoAnswer."""
    for listen in (settings.escalation_listen, settings.listen):
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with http.get(f"http://{listen}/watchz", timeout=aiohttp.ClientTimeout(3)) as answer:
                if answer.content_type == "application/json" and "delivered" in await answer.json():
                    return f"http://{listen}{API}"
    raise NoAnswer("110通知服务没有运行：请先启动")


async def ask(http: aiohttp.ClientSession, method: str, url: str, body: Any = None) -> Any:
    """Return what the process answers. Raises NoAnswer."""
    try:
        async with http.request(method, url, json=body) as answer:
            document = await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NoAnswer(f"110通知服务中断：{type(error).__name__}") from error
    if not answer.ok:
        raise NoAnswer(f"{document.get('title')}：{document.get('errors') or document.get('code')}")
    return document
