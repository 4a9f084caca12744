"""What holds of evidence on SQLite holds on PostgreSQL: the same tests on this folder's `database`."""

from tests.unit.outbound.evidence.test_collector import (
    test_a_collector_killed_at_any_statement_or_commit_stores_everything_once,
    test_of_two_collectors_on_one_file_only_one_stores_a_line,
)
from tests.unit.outbound.evidence.test_reconciler import *  # noqa: F403

__all__ = [
    "test_a_collector_killed_at_any_statement_or_commit_stores_everything_once",
    "test_of_two_collectors_on_one_file_only_one_stores_a_line",
]
