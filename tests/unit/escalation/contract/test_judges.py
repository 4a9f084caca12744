"""C2 and C3: how the clauses stand, decided from figures alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.common.evidence import Status, judged
from services.escalation.contract import chain, feed
from services.escalation.contract.chain import Chains
from services.escalation.contract.feed import LAGGING, Reach, Reader

NOW = datetime(2026, 4, 1, 8, tzinfo=UTC)
KEPT = Chains(
    raised=3, waiting=1, in_hand=1, longest=None, steps=2, late=0, violations=0, audited_at=NOW, stale=False
)
REACHED = Reach(
    newest=9, newest_at=NOW, missing=0, readers=(), push_waits=timedelta(0), acknowledged=1, pushed=False
)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("chains", "status"),
    [
        (KEPT, "ok"),
        (replace(KEPT, late=1), "warning"),
        (replace(KEPT, violations=1, late=1), "breached"),
        # What was wrong at the last look is shown, although that is long ago.
        (replace(KEPT, violations=1, stale=True), "breached"),
        # Nobody looks any more: what looked well proves nothing.
        (replace(KEPT, stale=True), "no_evidence"),
        (replace(KEPT, raised=0, waiting=0, in_hand=0), "no_evidence"),
        # One of before the window is open still.
        (replace(KEPT, raised=0), "ok"),
    ],
)
def test_the_chain_is_well_only_while_it_is_looked_at_and_kept(chains: Chains, status: Status) -> None:
    assert judged(chain.judge(chains))[0] == status


@pytest.mark.parametrize(
    ("reach", "status"),
    [
        (replace(REACHED, newest=0), "no_evidence"),
        (REACHED, "ok"),
        # Somebody has it: a reader, the desk's own system, or a person who acknowledged.
        (replace(REACHED, acknowledged=0), "no_evidence"),
        (replace(REACHED, acknowledged=0, pushed=True), "ok"),
        (replace(REACHED, acknowledged=0, readers=[Reader("main", 0, timedelta(0))]), "ok"),
        (replace(REACHED, readers=[Reader("main", 1, LAGGING)]), "ok"),
        (replace(REACHED, readers=[Reader("main", 1, LAGGING + SECOND)]), "warning"),
        # Nobody looks at our page: no matter, while the desk's own system keeps up.
        (replace(REACHED, readers=[Reader("console", 1, LAGGING + SECOND)]), "warning"),
        (replace(REACHED, readers=[Reader("console", 1, LAGGING + SECOND)], pushed=True), "ok"),
        (
            replace(
                REACHED,
                readers=[Reader("console", 1, LAGGING + SECOND), Reader("main", 0, timedelta(0))],
            ),
            "ok",
        ),
        (replace(REACHED, push_waits=LAGGING + SECOND), "warning"),
        (replace(REACHED, missing=1), "breached"),
    ],
)
def test_the_feed_is_well_when_it_is_whole_and_reaches_somebody(reach: Reach, status: Status) -> None:
    assert judged(feed.judge(reach))[0] == status
