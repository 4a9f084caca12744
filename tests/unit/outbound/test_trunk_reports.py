"""What outbound's `/readyz` says of trunks, by table."""

from collections.abc import Mapping

import pytest

from services.common.clock import SystemClock
from services.common.switches import Trunk
from services.outbound.lines import Lines
from services.outbound.switchboard import Switchboard

NODES = ("a", "b")


def board_with(trunks: tuple[str, ...], closed: Mapping[str, str], lost: tuple[str, ...]) -> Switchboard:
    plans = [Trunk.model_validate({"name": name, "uri": f"sip:{name}.example"}) for name in trunks]
    board = Switchboard(NODES, plans, Lines(10), SystemClock(), ring_seconds=30)
    for node in NODES:
        board.open(node)
    for route in lost:
        node, _, trunk = route.partition("/")
        board.reported(node, trunk, "unreachable", well=False)
    for node, reason in closed.items():
        board.close(node, reason)
    return board


@pytest.mark.parametrize(
    ("trunks", "closed", "lost", "none_left", "some_out"),
    [
        # all is well
        (("x", "y"), {}, (), None, None),
        # one of two trunks is out on one node, on both
        (("x", "y"), {}, ("a/x",), None, "a/x: unreachable"),
        (("x", "y"), {}, ("a/x", "b/x"), None, "a/x: unreachable, b/x: unreachable"),
        # the only trunk is out on one node of two: calls go over the other
        (("x",), {}, ("b/x",), None, "b/x: unreachable"),
        # every trunk is out on every node
        (("x",), {}, ("a/x", "b/x"), "no trunk is in service (x: unreachable)", None),
        # a node is away: what its trunks do is not known, and calls go over the other node
        (("x",), {"a": "refused"}, (), None, "a/x: refused"),
        # a node is away and the trunk is out on the other
        (("x",), {"a": "refused"}, ("b/x",), "no trunk is in service (x: , x: unreachable)", None),
        # no node can be used: that is the switch's fault, and nothing is said of trunks
        (("x",), {"a": "refused", "b": "refused"}, ("b/x",), None, None),
    ],
)
def test_the_last_trunk_is_a_problem_and_one_of_several_a_warning(
    trunks: tuple[str, ...],
    closed: Mapping[str, str],
    lost: tuple[str, ...],
    none_left: str | None,
    some_out: str | None,
) -> None:
    board = board_with(trunks, closed, lost)
    assert (board.no_trunk(), board.trunks_out()) == (none_left, some_out)
