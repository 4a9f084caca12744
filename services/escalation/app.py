"""Composition root of the escalation service: wires it and starts nothing."""

import ssl

from services.common.ami import Address, AmiLink
from services.common.ami.actions import LITTLE
from services.common.evidence import Source, endpoint
from services.common.http.ended_sessions import EndedSessions
from services.common.http.live import LiveStream
from services.common.service import Kernel, Service
from services.common.switches import AsteriskNode
from services.common.tail import Tail
from services.escalation.api import EscalationApi
from services.escalation.chain.api import ChainApi
from services.escalation.chain.auditor import Auditor
from services.escalation.chain.steps import Chain
from services.escalation.contract.chain import ChainEvidence
from services.escalation.contract.feed import FeedEvidence
from services.escalation.deliveries import DeliveryApi
from services.escalation.desk_calls.line import EVENT_NAMES, DeskLine
from services.escalation.desk_calls.queue import DeskCalls
from services.escalation.desk_http import DeskHttp
from services.escalation.escalations import Escalations
from services.escalation.faults.app import Faults
from services.escalation.feed import Feed
from services.escalation.handlers import Handlers
from services.escalation.push import Pusher
from services.escalation.readers import ReaderApi
from services.escalation.witnesses import Witnesses

NAME = "escalation"


def build(kernel: Kernel) -> Service:
    """Return the 110 side: feed, acknowledgement, disposition, and push when a target is set."""
    settings, clock, database = kernel.settings, kernel.clock, kernel.database
    feed = Feed(database, kernel.keys, pushing=bool(settings.desk_push_url))
    tail = Tail(feed.read, feed.last, clock)
    feed.on_append(tail.wake)
    escalations = Escalations(feed, kernel.keys, clock, settings)
    line = _desk_line(kernel)
    calls = DeskCalls(database, escalations, line, kernel.keys, clock, settings.instance)
    chain = Chain(database, escalations, calls, clock)
    auditor = Auditor(database, escalations, clock)
    feed.on_append(chain.wake)
    sessions = EndedSessions("escalation", database, kernel.tokens, clock)
    witnesses = Witnesses()
    stream = LiveStream("feed", tail, kernel.tokens)
    api = EscalationApi(database, escalations, tail, stream, kernel.tokens, witnesses)
    faults = Faults(kernel, feed, witnesses, line)
    evidence: dict[str, Source] = {
        "C2": FeedEvidence(database, feed, clock, pushing=bool(settings.desk_push_url)),
        "C3": ChainEvidence(database, auditor, clock),
        "C4": faults.evidence,
    }
    tasks = {
        "feed": tail.run,
        "sessions": sessions.refresh,
        "chain": chain.run,
        "chain-auditor": auditor.run,
        "desk-calls": calls.run,
    }
    # The line tells of faults too, so it is kept up whatever else is down.
    lines = {} if line is None else {"desk-line": line.run}
    pusher: Pusher | None = None
    if settings.desk_push_url:
        desk = DeskHttp(settings.desk_push_url, settings.desk_push_secret.get_secret_value(), clock)
        pusher = Pusher(database, feed, desk, clock, settings.instance)
        feed.on_append(pusher.wake)
        tasks["push"] = pusher.run

    async def start() -> None:
        await faults.start()
        await sessions.start()

    return Service(
        name=NAME,
        endpoints=[
            *api.endpoints,
            *ReaderApi(database, feed, escalations, witnesses, clock).endpoints,
            *ChainApi(database).endpoints,
            *DeliveryApi(database, None if pusher is None else lambda: pusher.target_away).endpoints,
            *faults.endpoints,
            endpoint(NAME, evidence, clock),
        ],
        routes=faults.routes,
        handlers=Handlers(escalations, calls, sessions, faults.incidents, faults.unanswered).table,
        tasks={**tasks, **faults.tasks},
        independent_tasks={**faults.independent_tasks, **lines},
        checks={"chain": auditor.check},
        warnings=faults.warnings,
        evidence=evidence,
        start=start,
        drain=tail.close,
        close=faults.close,
    )


def _desk_line(kernel: Kernel) -> DeskLine | None:
    """The desk's line over every Asterisk there is; None where no PBX was named."""
    settings, login = kernel.settings, kernel.sandbox
    if settings.pbx == "asterisk":
        links = [_link(node) for node in settings.asterisk_nodes]
    else:
        # In a process of its own this service finds the sandbox only where `ami_*` says.
        links = [
            AmiLink(
                lambda: Address(login.host, login.port),
                login.user,
                login.secret,
                wanted=EVENT_NAMES,
                classes=LITTLE,
            )
        ]
    return DeskLine(links, kernel.clock, settings.desk_caller_id)


def _link(node: AsteriskNode) -> AmiLink:
    tls = ssl.create_default_context() if node.tls else None
    address, secret = Address(node.host, node.port, tls), node.secret.get_secret_value()
    return AmiLink(address, node.user, secret, wanted=EVENT_NAMES, classes=LITTLE)
