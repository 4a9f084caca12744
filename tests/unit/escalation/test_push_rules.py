"""When an item is tried again, and what is tried while the desk's system is away."""

import pytest

from services.escalation.desk_http import sign
from services.escalation.push_rules import Target, pause_after


@pytest.mark.parametrize(
    ("tries", "least", "most"),
    [
        # a hiccup
        (1, 0.5, 1.0),
        (2, 1.0, 1.5),
        (4, 4.0, 4.5),
        # an outage: never more than half a minute, however long it lasts
        (7, 30.0, 30.0),
        (1000, 30.0, 30.0),
        (1_000_000, 30.0, 30.0),
    ],
)
def test_pauses_double_to_half_a_minute(tries: int, least: float, most: float) -> None:
    for _ in range(20):
        assert least <= pause_after(tries).total_seconds() <= most


def _failing(times: int) -> Target:
    target = Target()
    for _ in range(times):
        target.failed()
    return target


@pytest.mark.parametrize(
    ("failures", "tries", "admitted"),
    [
        # well: everything due goes
        (0, [0, 3, 1], [0, 1, 2]),
        # a few failures are a few items' own
        (7, [0, 3, 1], [0, 1, 2]),
        # away: one that failed before finds out, and what is new is tried at once
        (8, [3, 1, 2], [0]),
        (8, [0, 0, 5, 6], [0, 1, 2]),
        (100, [], []),
    ],
)
def test_a_target_that_is_away_is_probed_and_not_flooded(
    failures: int, tries: list[int], admitted: list[int]
) -> None:
    assert _failing(failures).admit(tries, now=0.0) == admitted


def test_probes_of_a_target_that_is_away_are_five_seconds_apart() -> None:
    target = _failing(8)
    assert target.admit([2], now=100.0) == [0]
    assert target.admit([2], now=104.9) == []
    assert target.admit([2, 0], now=104.9) == [1]
    assert target.admit([2], now=105.0) == [0]


def test_dying_and_coming_back_are_each_noticed_once() -> None:
    target = Target()
    assert [target.failed() for _ in range(10)].index(True) == 7
    assert [target.succeeded(), target.succeeded()] == [True, False]
    assert target.admit([5, 5], now=0.0) == [0, 1]


def test_a_signature_is_what_any_other_implementation_makes_of_it() -> None:
    # printf '%s' '1775001600.{"seq":1}' | openssl dgst -sha256 -hmac desk-secret
    expected = "sha256=a74ae04cefb713a70d6773e6f1770bef7a3909f5f9cdab2e9ce5b27312acd1c9"
    assert sign("desk-secret", "1775001600", b'{"seq":1}') == expected
