import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.ami import UnsafeValue, actions
from services.common.ami.actions import Action

A = "0123456789abcdef0123456789abcdef"
GOOD = {"attempt_id": A, "callee": "13912345678", "caller_id": "0519110", "speak": "u82cf-d-1"}

CONTROLS = [chr(code) for code in (*range(32), 127, *range(0x80, 0xA0), 0x2028, 0x2029, 0xFEFF)]
META = list(",&|;${}\"'`\\<>()[]=@/ ")


def originate(**changes: str) -> Action:
    return actions.originate(**{**GOOD, **changes}, script=1, ring_seconds=30)


def test_originate_is_written_as_agreed_with_the_dialplan() -> None:
    assert originate().wire().decode().split("\r\n") == [
        "Action: Originate",
        f"ActionID: {A}",
        "Channel: PJSIP/13912345678@trunk-0519110",
        "Context: movecar-notice",
        "Exten: s",
        "Priority: 1",
        'CallerID: "0519110" <0519110>',
        "Timeout: 30000",
        "Async: true",
        f"ChannelId: {A}",
        f"Variable: MOVECAR_ATTEMPT={A},MOVECAR_SPEAK=u82cf-d-1,MOVECAR_SCRIPT=1"
        ",MOVECAR_MODE=notice,MOVECAR_SEAT=",
        "",
        "",
    ]


@pytest.mark.parametrize("field", ["attempt_id", "callee", "caller_id", "speak"])
@pytest.mark.parametrize("character", [*CONTROLS, *META], ids=lambda character: f"U+{ord(character):04X}")
def test_no_control_separator_or_quote_gets_into_an_action(field: str, character: str) -> None:
    good = GOOD[field]
    for value in (good + character, character + good, good[:3] + character + good[3:]):
        with pytest.raises(UnsafeValue) as error:
            originate(**{field: value})
        assert value not in str(error.value)


@given(st.sampled_from(sorted(GOOD)), st.text())
def test_any_text_is_refused_or_written_as_exactly_one_action(field: str, value: str) -> None:
    try:
        wire = originate(**{field: value}).wire()
    except UnsafeValue:
        return
    assert wire.count(b"\r\n\r\n") == 1
    assert wire.count(b"\r\n") == 12
    assert re.fullmatch(rb"[ -~\r\n]*", wire)


@pytest.mark.parametrize(
    "callee",
    [
        "13912345678",  # mobile
        "19912345678",
        "051981997327",  # fixed, eight digits
        "05198199732",  # fixed, seven digits
        "01062345678",  # Beijing
        "02162345678",  # Shanghai
    ],
)
def test_mobile_and_fixed_lines_can_be_called(callee: str) -> None:
    assert f"PJSIP/{callee}@trunk-0519110" in originate(callee=callee).wire().decode()


@pytest.mark.parametrize(
    "callee",
    [
        "",
        "110",
        "119",
        "120",
        "114",
        "0519110",  # ourselves
        "008613912345678",  # international
        "8613912345678",
        "+8613912345678",
        "4001234567",
        "95588",
        "12912345678",  # no mobile prefix
        "139123456789",  # a digit too many
        "1391234567",
        "0519-81997327",
        "019912345678",
        "05191234567",  # 1… is no subscriber number: emergency and service numbers
        "051995588123",
        "٠١٢٣٤٥٦٧٨٩٠",  # digits, but not ours
    ],
)
def test_every_other_number_cannot_be_expressed(callee: str) -> None:
    with pytest.raises(UnsafeValue):
        originate(callee=callee)


@pytest.mark.parametrize("script", [0, -1, 10_000])
def test_a_script_is_a_number_of_one_to_four_digits(script: int) -> None:
    with pytest.raises(UnsafeValue):
        actions.originate(**GOOD, script=script, ring_seconds=30)


@pytest.mark.parametrize("seconds", [0, 0.5, -1, 301, float("nan"), float("inf")])
def test_ring_time_has_bounds(seconds: float) -> None:
    with pytest.raises((UnsafeValue, ValueError, OverflowError)):
        actions.originate(**GOOD, script=1, ring_seconds=seconds)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("Command", {"Command": "core stop now"}),  # an action that is not known
        ("Originate", {**originate().fields, "Application": "System", "Data": "rm -rf /"}),  # CVE-2024-42365
        ("Originate", {**originate().fields, "Context": "default"}),
        ("Originate", {**originate().fields, "Channel": "Local/13912345678@movecar-notice"}),
        ("Originate", {**originate().fields, "CallerID": '"0519110" <0519111>'}),  # name and number differ
        ("Originate", {name: value for name, value in originate().fields.items() if name != "ChannelId"}),
        ("Originate", {**originate().fields, "Channel": "PJSIP/13912345678@trunk"}),  # forces no caller ID
        ("Getvar", {"Variable": "MOVECAR_ATTEMPT"}),  # another variable
        ("Getvar", {"Variable": "SHELL(id)"}),
        ("DBGet", {"Family": "cidname", "Key": A}),  # another family
        ("Ping", {"Secret": "x"}),
    ],
)
def test_unknown_actions_fields_and_values_cannot_be_expressed(name: str, fields: dict[str, str]) -> None:
    with pytest.raises(UnsafeValue):
        Action(name, fields)


def test_an_action_id_is_a_uuid_and_nothing_else() -> None:
    with pytest.raises(UnsafeValue):
        Action("Ping", action_id="1\r\nAction: Logoff")


def test_an_action_does_not_change_with_the_dictionary_it_was_made_of() -> None:
    fields = dict(originate().fields)
    action = Action("Originate", fields)
    fields["Context"] = "default"
    assert b"default" not in action.wire()


@pytest.mark.parametrize("challenge", ["", "1\r\nX: y", "x" * 65, "1 2"])
def test_a_strange_challenge_is_not_answered(challenge: str) -> None:
    with pytest.raises(UnsafeValue):
        actions.login("movecar", "secret", challenge)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("Channel", "PJSIP/13912345678@desk"),  # somebody else over the desk's line
        ("Channel", "PJSIP/13912345678@trunk"),
        ("Context", "movecar-notice"),
        ("CallerID", '"114" <0519110>'),  # name and number differ
        ("Variable", f"MOVECAR_DESK_CALL={A},MOVECAR_SAY=desk-head.${{SHELL(id)}}"),
        ("Variable", f"MOVECAR_DESK_CALL={A},MOVECAR_SAY=../../etc/passwd"),
        (
            "Variable",
            f"MOVECAR_DESK_CALL={A},MOVECAR_SAY={'.'.join(['a'] * 41)}",
        ),  # longer than the dialplan reads
    ],
)
def test_the_desks_line_leads_to_the_desk_alone(field: str, value: str) -> None:
    good = actions.originate_desk(call_id=A, caller_id="114", say="desk-head.c-u82cf", ring_seconds=30)
    assert "Action: Originate\r\n" in good.wire().decode()
    with pytest.raises(UnsafeValue):
        Action("OriginateDesk", {**good.fields, field: value}, action_id=A)
