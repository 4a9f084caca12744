"""The feed: a notice is an item of it once the main database is there; delivered once a desk has read it."""

from services.common.database import Database
from services.escalation.faults.channels.contract import NotDelivered
from services.escalation.faults.notices import Notice
from services.escalation.faults.records import Audience
from services.escalation.feed import Feed, NewItem
from services.escalation.witnesses import Witnesses


class FeedChannel:
    """The desk's feed. Written is not delivered: the proof is a desk's reader that went past the item."""

    name = "feed"
    audience: Audience = "desk"

    def __init__(self, database: Database, feed: Feed, witnesses: Witnesses) -> None:
        self._database, self._feed, self._witnesses = database, feed, witnesses

    async def deliver(self, notice: Notice) -> tuple[str, str]:
        """Write the item unless it is there; return who has read it."""
        try:
            async with self._database.transaction() as session:
                seq = await self._feed.number_of(session, notice.id)
                if seq is None:
                    # Not pushed from here: the push channel goes straight from the journal.
                    item = NewItem(notice.type, notice.subject, notice.data, notice.id, push=False)
                    (seq,) = await self._feed.append(session, notice.occurred_at, item)
        except Exception as error:
            raise NotDelivered(type(error).__name__) from error
        reader = self._witnesses.of(seq)
        if reader is None:
            raise NotDelivered(f"seq {seq} is written and nobody has read it")
        return reader, f"feed seq {seq}"

    async def close(self) -> None:
        """Hold nothing open."""
