"""What holds of cases on SQLite holds on PostgreSQL: the same tests, with the `movecar` of this folder."""

from tests.unit.movecar.cases.test_case_api import *  # noqa: F403
from tests.unit.movecar.cases.test_wishes import *  # noqa: F403
