"""What holds on SQLite holds on PostgreSQL: the same tests, with the `rig` of this folder."""

from tests.unit.outbound.scripts.test_in_force import *  # noqa: F403
from tests.unit.outbound.test_alarms import *  # noqa: F403
from tests.unit.outbound.test_caller import *  # noqa: F403
from tests.unit.outbound.test_crashes import *  # noqa: F403
from tests.unit.outbound.test_dialer import *  # noqa: F403
from tests.unit.outbound.test_gaps import *  # noqa: F403
from tests.unit.outbound.test_guard import *  # noqa: F403
from tests.unit.outbound.test_handlers import *  # noqa: F403
from tests.unit.outbound.test_journal import *  # noqa: F403
from tests.unit.outbound.test_tally import *  # noqa: F403
