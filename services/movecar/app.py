"""The composition root of the operator's side: `build` wires everything and starts nothing."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from services.common import tally
from services.common.http.inputs import MAX_UPLOAD_BYTES
from services.common.service import Kernel, Service
from services.movecar import console
from services.movecar.cases.api import CaseApi
from services.movecar.cases.deadlines import Deadlines
from services.movecar.cases.live import CaseStream
from services.movecar.cases.lookups import Lookups
from services.movecar.cases.tally import CaseCount, CaseTally
from services.movecar.cases.transitions import CaseRules
from services.movecar.cases.wish_api import WishApi
from services.movecar.contract.api import BoardApi
from services.movecar.contract.board import Ask, Board
from services.movecar.contract.clauses import CLAUSES
from services.movecar.gateway import Gateway
from services.movecar.handlers import Reports
from services.movecar.people import api as people_api
from services.movecar.people.demo import make_demo_accounts
from services.movecar.people.passwords import Passwords
from services.movecar.people.presence import Presence
from services.movecar.people.sessions import Sessions
from services.movecar.recordings.api import RecordingApi
from services.movecar.registry.choice import LocalSource, choose_registry

NAME = "movecar"


def build(kernel: Kernel, neighbours: Mapping[str, Ask] = MappingProxyType({})) -> Service:
    """Wire the service; `neighbours` are asked for their part of the contract board."""
    rules = CaseRules(kernel.settings, kernel.keys, kernel.clock)
    passwords = Passwords()
    sessions = Sessions(kernel, passwords)
    registry = choose_registry(kernel)
    lookups = Lookups(kernel.database, rules, registry.registry)
    deadlines = Deadlines(kernel.database, rules)
    stream = CaseStream(kernel, rules)
    board = Board(CLAUSES, kernel.evidence, neighbours, kernel.clock)
    presence = Presence(kernel.database, kernel.clock)
    count = CaseCount(kernel.database)

    tasks = {
        "lookups": lookups.run,
        "deadlines": deadlines.run,
        "ended-sessions": sessions.watch_ended,
        "case-stream": stream.tail.run,
    }
    if isinstance(registry, LocalSource):
        tasks["registry"] = registry.keep

    async def start() -> None:
        password = kernel.settings.demo_password.get_secret_value()
        if kernel.settings.is_demo and password:
            await make_demo_accounts(kernel.database, passwords, kernel.clock, password)
        await registry.start()
        await sessions.load_ended()

    return Service(
        name=NAME,
        endpoints=[
            *people_api.endpoints(sessions, kernel.tokens),
            *CaseApi(kernel.database, rules).endpoints(),
            *RecordingApi(kernel).endpoints(),
            *WishApi(kernel.database, rules).endpoints(),
            *BoardApi(board, kernel.clock).endpoints,
            stream.endpoint(),
            tally.endpoint(
                NAME, "Count what happened to cases in a span of time", count, CaseTally, kernel.clock
            ),
        ],
        routes=console.routes(kernel.settings.is_demo),
        handlers=Reports(rules).table(),
        tasks=tasks,
        checks={"registry": registry.check},
        warnings={"operators": presence.check} if kernel.settings.operators_missed_after else {},
        tally=count,
        start=start,
        drain=stream.tail.close,
        close=registry.close,
    )


def build_with_neighbours(kernel: Kernel) -> Service:
    """Wire the service for a process of its own: outbound and escalation are elsewhere."""
    desk = Gateway(
        kernel.settings.escalation_listen,
        forwarded=("feed", "escalations", "faults", "contract/escalation"),
        away=("desk_unavailable", "110接警服务暂时不可用，请稍后重试"),
    )
    caller = Gateway(
        kernel.settings.outbound_listen,
        forwarded=(
            "call-scripts",
            "incidents",
            "call-records",
            "trunks",
            "tallies/outbound",
            "contract/outbound",
        ),
        away=("caller_unavailable", "外呼服务暂时不可用，请稍后重试"),
        max_body=MAX_UPLOAD_BYTES,  # a call script brings the scan of its notice
    )

    service = build(kernel, {"escalation": desk.ask, "outbound": caller.ask})

    async def start() -> None:
        await service.start()
        await desk.start()
        await caller.start()

    async def close() -> None:
        await desk.close()
        await caller.close()
        await service.close()

    async def openapi() -> list[dict[str, Any]]:
        return [*await desk.openapi(), *await caller.openapi()]

    return replace(
        service,
        routes=[*service.routes, *desk.routes(), *caller.routes()],
        checks={**service.checks, "escalation": desk.check, "outbound": caller.check},
        start=start,
        close=close,
        remote_openapi=openapi,
    )
