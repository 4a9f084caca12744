"""A small service with every kind of endpoint, running on a real socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from services.common.http.auth import ROLES, Role
from services.common.http.endpoint import Answer, Body, Call, Endpoint
from services.common.http.paging import Cursor, Limit, read_cursor, write_cursor
from services.common.http.problems import Problem, not_found
from services.common.http.times import Moment
from services.common.service import Kernel, Process, Service
from services.common.text import Line, Token
from tests.support.running import Client, serving, settings_for

_metadata = MetaData()
THINGS = Table("shop_things", _metadata, Column("id", Integer, primary_key=True), Column("name", String(200)))
OPERATOR: frozenset[Role] = frozenset({"operator"})


class Size(StrEnum):
    """An enumeration, which the document describes by reference."""

    SMALL = "small"
    LARGE = "large"


class Part(Body):
    """A nested object."""

    code: Token
    note: str = ""


class NewThing(Body):
    """A body with a field of each kind that the API uses."""

    name: Line
    count: Annotated[int, Field(ge=1, le=10)] = 1
    weight: float | None = None
    urgent: bool = False
    size: Size | None = None
    kind: Literal["a", "b"] = "a"
    when: datetime | None = None
    parts: tuple[Part, ...] = ()


class Thing(BaseModel):
    """A thing in an answer."""

    id: int
    name: str
    made_at: Moment


class Page(BaseModel):
    """Some things, and where the next ones are."""

    items: list[Thing]
    next: str | None


class PageQuery(Body):
    """Which page."""

    limit: Limit = 50
    cursor: Cursor | None = None
    kind: Literal["a", "b"] | None = None


@dataclass
class Shop:
    """The handlers, and what they saw."""

    kernel: Kernel
    calls: list[str] = field(default_factory=list)

    async def make(self, call: Call[NewThing, Any]) -> Answer:
        self.calls.append(call.body.name)
        statement = insert(THINGS).values(name=call.body.name).returning(THINGS.c.id)
        key = await call.session.scalar(statement)
        match call.body.name:
            case "冲突":
                raise Problem(409, "illegal_transition", "现在不能这样做", current="closed")
            case "崩溃":
                raise RuntimeError("a defect met with 苏D10001")
        return Answer(201, Thing(id=key or 0, name=call.body.name, made_at=self.kernel.clock.now()))

    async def find(self, call: Call[Any, Any]) -> Answer:
        async with self.kernel.database.reading() as session:
            name = await session.scalar(select(THINGS.c.name).where(THINGS.c.name == call.path("name")))
        if name is None:
            raise not_found("此物")
        return Answer(200, Thing(id=1, name=name, made_at=self.kernel.clock.now()))

    async def page(self, call: Call[Any, PageQuery]) -> Answer:
        after = read_cursor(call.query.cursor) if call.query.cursor else ""
        return Answer(200, Page(items=[], next=write_cursor(f"{after}x")))

    async def remove(self, call: Call[Any, Any]) -> Answer:
        self.calls.append("remove")
        return Answer(204)

    async def names(self) -> list[str]:
        """Return what is committed."""
        async with self.kernel.database.reading() as session:
            return list(await session.scalars(select(THINGS.c.name).order_by(THINGS.c.id)))


def build(shop: Shop) -> Service:
    """Return the service of a shop."""
    endpoints = [
        Endpoint(
            "POST",
            "/things",
            "Make a thing",
            shop.make,
            {201: Thing},
            roles=OPERATOR,
            body=NewThing,
            problems=(409,),
            atomic=True,
        ),
        Endpoint("GET", "/things", "List things", shop.page, {200: Page}, roles=ROLES, query=PageQuery),
        Endpoint("GET", "/things/{name}", "Find a thing", shop.find, {200: Thing}, roles=ROLES),
        Endpoint("POST", "/clearance", "Remove all", shop.remove, {204: None}, roles=OPERATOR, atomic=True),
        Endpoint("POST", "/offers", "Make one, public", shop.make, {201: Thing}, body=NewThing, atomic=True),
    ]
    return Service("movecar", endpoints)


@dataclass
class Running:
    """The shop while it is open."""

    process: Process
    shop: Shop

    @property
    def address(self) -> str:
        return self.process.address

    def client(self) -> Client:
        return Client(self.address)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    shops: list[Shop] = []

    def open_shop(kernel: Kernel) -> Service:
        shops.append(Shop(kernel))
        return build(shops[0])

    async with serving(settings_for(tmp_path), [open_shop]) as process:
        async with process.kernel.database.engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)
        yield Running(process, shops[0])


@pytest.fixture
async def operator(running: Running) -> AsyncIterator[Client]:
    async with running.client() as client:
        yield client.become(running.process, "operator")


@pytest.fixture
async def stranger(running: Running) -> AsyncIterator[Client]:
    async with running.client() as client:
        yield client


@pytest.fixture
def shop(running: Running) -> Shop:
    return running.shop


@pytest.fixture
def endpoints() -> list[Endpoint]:
    """The declarations alone, with nothing behind them."""
    return list(build(Shop(kernel=None)).endpoints)  # type: ignore[arg-type]
