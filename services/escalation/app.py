"""Composition root of the escalation service: wires it and starts nothing."""

from services.common.http.live import LiveStream
from services.common.service import Kernel, Service
from services.common.tail import Tail
from services.escalation.api import EscalationApi
from services.escalation.desk_http import DeskHttp
from services.escalation.escalations import Escalations
from services.escalation.feed import Feed
from services.escalation.handlers import Handlers
from services.escalation.push import Pusher
from services.escalation.sessions import EndedSessions


def build(kernel: Kernel) -> Service:
    """Return the 110 side: feed, acknowledgement, disposition, and push when a target is set."""
    settings, clock, database = kernel.settings, kernel.clock, kernel.database
    feed = Feed(database, kernel.keys, pushing=bool(settings.desk_push_url))
    tail = Tail(feed.read, feed.last, clock)
    feed.on_append(tail.wake)
    escalations = Escalations(feed, kernel.keys, clock)
    sessions = EndedSessions(database, kernel.tokens, clock)
    api = EscalationApi(database, escalations, tail, LiveStream("feed", tail, kernel.tokens), kernel.tokens)
    tasks = {"feed": tail.run, "sessions": sessions.refresh}
    if settings.desk_push_url:
        desk = DeskHttp(settings.desk_push_url, settings.desk_push_secret.get_secret_value(), clock)
        pusher = Pusher(database, feed, desk, clock, settings.instance)
        feed.on_append(pusher.wake)
        tasks["push"] = pusher.run
    return Service(
        name="escalation",
        endpoints=api.endpoints,
        handlers=Handlers(escalations, sessions).table,
        tasks=tasks,
        start=sessions.start,
        drain=tail.close,
    )
