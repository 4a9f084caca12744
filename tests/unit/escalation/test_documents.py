"""Details from a case: tolerant of what is missing, strict on size, closed to anything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.common.crypto import Keys, SealBroken
from services.escalation.documents import (
    DISPOSITIONS,
    MAX_SEALED_DETAILS,
    Details,
    DetailsRefused,
    Dispose,
    open_details,
)
from tests.unit.escalation.harness import DETAILS

_KEYS = Keys(b"k" * 32)


def _open(text: str, sealed_for: str = "e-1") -> Details:
    return open_details(_KEYS, "e-1", _KEYS.seal(text, f"escalation:{sealed_for}"))


@pytest.mark.parametrize("missing", sorted(DETAILS))
def test_a_missing_field_is_no_reason_to_hide_an_escalation(missing: str) -> None:
    details = _open(json.dumps({key: value for key, value in DETAILS.items() if key != missing}))
    assert not getattr(details, missing)


def test_a_field_nobody_agreed_on_does_not_reach_the_desk() -> None:
    details = _open(json.dumps(DETAILS | {"owner_phone": "13912345678"}))
    assert "13912345678" not in details.model_dump_json()


@pytest.mark.parametrize(
    "wrong",
    [
        # longer than a case can hold
        {"note": "长" * 4001},
        {"plate": "苏" * 21},
        {"requester_phone": "1" * 33},
        {"attempts": [{"number": 1}] * 101},
        # a telephone number where the ordinal belongs
        {"attempts": [{"number": 13912345678}]},
        {"attempts": [{"number": "13912345678"}]},
        # times that are none, or have no zone
        {"attempts": [{"number": 1, "dialed_at": "yesterday"}]},
        {"attempts": [{"number": 1, "dialed_at": "2026-04-01T08:00:00"}]},
        # an outcome that is no code
        {"attempts": [{"number": 1, "outcome": "busy\r\nX: 1"}]},
        # wrong types
        {"plate": 1},
        {"attempts": {}},
    ],
)
def test_wrong_details_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _open(json.dumps(DETAILS | wrong))


@pytest.mark.parametrize("text", ["", "[]", "1", "null", "{", '{"note": '])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        _open(text)


def test_oversized_details_are_refused_before_they_are_opened() -> None:
    with pytest.raises(DetailsRefused):
        open_details(_KEYS, "e-1", "v1." + "A" * MAX_SEALED_DETAILS)


def test_details_of_another_escalation_do_not_open() -> None:
    with pytest.raises(SealBroken):
        _open(json.dumps(DETAILS), sealed_for="e-2")


@given(st.text(max_size=200))
def test_nothing_but_our_own_seal_opens(sealed: str) -> None:
    with pytest.raises(SealBroken):
        open_details(_KEYS, "e-1", sealed)


@pytest.mark.parametrize("code", [*DISPOSITIONS, "taken_by_traffic_police"])
def test_recommended_codes_and_the_desk_s_own_are_taken(code: str) -> None:
    assert Dispose(code=code).note == ""
