"""What the switch refuses or bounds, whoever is at the manager interface: B1, B4, and the fault cases."""

import socket
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from deploy.stack.ami_probe import AmiError, AmiProbe, Message
from deploy.stack.asterisk import Asterisk
from deploy.stack.owners import Owners
from deploy.stack.sip_trace import Invite
from tests.integration.telephony.calls import PlacedCall, left_result, place

AGREEING = "13805190001"
BUSY = "13805190006"
SILENT = "13900000110"


@pytest.fixture(scope="module")
def tight_server(server_home: Path, owners: Owners, quick_prompts: Path) -> Iterator[Asterisk]:
    """A second switch beside the session's, with low limits and without the prompt of 闽."""
    limits = {"key_wait": 1, "memory": 2, "max_calls": 2, "max_seconds": 6}
    switch = Asterisk(server_home / "tight", prompts=quick_prompts, trunk_uri=owners.uri, **limits)
    switch.start()
    for prompt in (switch.settings.data / "sounds" / "movecar").glob("c-u95fd.*"):
        prompt.unlink()
    yield switch
    switch.stop()


# What an attacker with the manager account would try first. Each is an action that must be refused.
FORBIDDEN: list[tuple[str, dict[str, str]]] = [
    ("Command", {"Command": "core show version"}),
    ("Command", {"Command": "!id"}),
    ("UpdateConfig", {"SrcFilename": "manager.conf", "DstFilename": "manager.conf"}),
    ("GetConfig", {"Filename": "manager.conf"}),
    ("CreateConfig", {"Filename": "x.conf"}),
    ("ModuleLoad", {"Module": "app_system.so", "LoadType": "load"}),
    ("Reload", {}),
    ("DBPut", {"Family": "movecar", "Key": "x", "Val": "agreed;1;1"}),
    ("DBDel", {"Family": "movecar", "Key": "x"}),
    ("DBDelTree", {"Family": "movecar"}),
    ("DialplanExtensionAdd", {"Context": "x", "Extension": "s", "Priority": "1", "Application": "NoOp"}),
    ("Filter", {"Operation": "Add", "Filter": "Event: .*"}),
]
# Originate with an application instead of the dialplan: programs, files, and other ways out.
APPLICATIONS: list[tuple[str, str]] = [
    ("System", "touch MARK"),
    ("TrySystem", "touch MARK"),
    ("AGI", "MARK"),
    ("ExternalIVR", "MARK"),
    ("Exec", "System(touch MARK)"),
    ("MixMonitor", "x.wav,,touch MARK"),  # its third argument is a command
    ("NoOp", "${SHELL(touch MARK)}"),
    ("Set", "FILE(MARK)=x"),
    ("Dial", "PJSIP/13805190002@trunk-0519110"),
    ("Originate", "PJSIP/13805190002@trunk-0519110,app,System,touch MARK"),
]


@pytest.mark.parametrize(("action", "fields"), FORBIDDEN)
def test_the_manager_account_may_not(asterisk_server: Asterisk, action: str, fields: dict[str, str]) -> None:
    with asterisk_server.connect() as probe:
        answer = probe.ask(("Action", action), *fields.items())
    assert answer["Response"] == "Error"
    assert "permission" in answer["Message"].lower() or "invalid" in answer["Message"].lower()


@pytest.mark.parametrize(("application", "data"), APPLICATIONS)
def test_an_originate_cannot_run_a_program_or_reach_a_file(
    asterisk_server: Asterisk, owners: Owners, application: str, data: str
) -> None:
    mark = asterisk_server.settings.spool / "mark"  # where the switch's own account could write
    call = PlacedCall(AGREEING)
    before = len(owners.invites())
    fields = [
        ("Action", "Originate"),
        ("ActionID", call.attempt),
        ("Channel", f"PJSIP/{AGREEING}@trunk-0519110"),
        ("Application", application),
        ("Data", data.replace("MARK", str(mark))),
        ("ChannelId", call.attempt),
        ("Async", "true"),
    ]
    with asterisk_server.connect(deadline=30) as probe:
        if probe.ask(*fields)["Response"] == "Success":
            probe.until(lambda event: event.get("Event") == "Hangup" and event["Uniqueid"] == call.attempt)
    assert not mark.exists()
    assert len(owners.invites()) <= before + 1, "the answered call led to another one"


# Fields of an Originate that try to change the number shown to the owner.
DISGUISES: list[list[tuple[str, str]]] = [
    [("CallerID", '"110" <110>')],
    [("CallerID", '"公安局" <13800000000>')],
    [("CallerID", "<>")],
    [("CallerID", '"x" <110>'), ("Variable", "CALLERID(all)=110,CALLERID(pres)=prohib")],
    [("Variable", "CONNECTEDLINE(num)=110")],
    [("Variable", "CONNECTEDLINE(priv-num,i)=110,CONNECTEDLINE(priv-name,i)=110")],
    [("Variable", "CONNECTEDLINE(all)=110,CALLERID(priv-num)=110,CALLERID(ANI-num)=110")],
    [("Variable", "PJSIP_HEADER(add,P-Asserted-Identity)=<sip:110@police>")],
    [("Variable", "CALLERID(num-pres)=prohib")],
]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_owner_is_shown_0519110_whatever_an_originate_carries(
    asterisk_server: Asterisk, owners: Owners, disguise: list[tuple[str, str]]
) -> None:
    (invite,) = _originate(asterisk_server, owners, f"PJSIP/{BUSY}@trunk-0519110", disguise)
    assert invite.caller == "0519110"
    assert invite.asserted == "0519110"
    assert invite.identities == {"0519110"}
    assert invite.text.values("P-Asserted-Identity") == ['"0519110" <sip:0519110@127.0.0.1>']
    assert [value.partition(";")[0] for value in invite.text.values("From")] == ["<sip:0519110@127.0.0.1>"]
    assert not invite.text.values("Remote-Party-ID") + invite.text.values("Privacy")


def test_an_originate_that_wants_to_hide_the_number_hides_nothing(
    asterisk_server: Asterisk, owners: Owners
) -> None:
    hidden = [("Variable", "CONNECTEDLINE(priv-num-pres,i)=prohib,CALLERID(pres)=prohib")]
    (invite,) = _originate(asterisk_server, owners, f"PJSIP/{BUSY}@trunk-0519110", hidden)
    assert (invite.caller, invite.asserted, invite.identities) == ("0519110", "0519110", {"0519110"})
    assert not invite.text.values("Privacy")


# Other ways onto the trunk. Each has to end without an INVITE, or with one from 0519110.
ENDPOINTS = [
    "PJSIP/{number}@trunk",  # no caller ID
    "PJSIP/{number}@caller",  # the template
    "PJSIP/{number}@trunk-0519119",  # a number that was never filed
    "PJSIP/{number}@trunk-110",
    "PJSIP/{number}",
    "PJSIP/trunk-0519110/{uri}",  # past the trunk's own address
    "PJSIP/110/{uri}",
    "PJSIP/{uri}",
    "Local/s@movecar-notice",
    "SIP/{number}@trunk-0519110",
]


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_call_past_the_endpoint_of_a_filed_number_is_from_0519110_or_is_none(
    asterisk_server: Asterisk, owners: Owners, endpoint: str
) -> None:
    uri = f"sip:{BUSY}@{owners.uri.removeprefix('sip:')}"
    channel = endpoint.format(number=BUSY, uri=uri)
    for invite in _originate(asterisk_server, owners, channel, [("CallerID", '"110" <110>')]):
        assert invite.identities == {"0519110"}


def _originate(
    switch: Asterisk, owners: Owners, channel: str, extra: Sequence[tuple[str, str]]
) -> list[Invite]:
    """Ask for a call in the way of an attacker, and return the INVITEs that came of it."""
    attempt = uuid.uuid4().hex
    seen = len(owners.invites())
    with switch.connect() as probe:
        answer = probe.ask(
            ("Action", "Originate"),
            ("ActionID", attempt),
            ("Channel", channel),
            ("Context", "movecar-notice"),
            ("Exten", "s"),
            ("Priority", "1"),
            ("ChannelId", attempt),
            ("Async", "true"),
            *extra,
        )
        if answer["Response"] == "Success":
            probe.until(
                lambda event: event.get("Event") == "OriginateResponse" and event.get("ActionID") == attempt
            )
    return owners.invites()[seen:]


def test_a_wrong_secret_is_refused(asterisk_server: Asterisk) -> None:
    settings = asterisk_server.settings
    with pytest.raises(AmiError, match="Authentication failed"):
        AmiProbe(settings.ami_host, settings.ami_port, settings.ami_user, "x" * 24)


def test_signalling_speech_and_manager_are_on_loopback_only_and_not_run_by_root(
    asterisk_server: Asterisk,
) -> None:
    settings = asterisk_server.settings
    call = PlacedCall(SILENT)
    with asterisk_server.connect(deadline=30) as probe:
        probe.send_bytes(call.wire())
        probe.until(lambda event: event.get("UserEvent") == "MovecarGreeting")
        sockets = _sockets(asterisk_server.child.pid)
        probe.ask(("Action", "Hangup"), ("Channel", call.attempt))
        probe.until(lambda event: event.get("Event") == "Hangup" and event["Uniqueid"] == call.attempt)
    wildcard = {port for address, port in sockets if address != "127.0.0.1"}
    assert ("127.0.0.1", settings.ami_port) in sockets
    assert ("127.0.0.1", settings.sip_port) in sockets
    assert any(settings.rtp_first <= port <= settings.rtp_last for _, port in sockets)
    # what is left are the two ephemeral sockets of PJSIP's name resolver, which answers nobody
    assert all(port >= 32_768 for port in wildcard), sockets
    assert Path(f"/proc/{asterisk_server.child.pid}").stat().st_uid != 0


def _sockets(pid: int) -> set[tuple[str, int]]:
    """Local addresses of the process's IP sockets; IPv6 ones as they are in /proc."""
    own = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            address, _, port = columns[1].partition(":")
            if f"socket:[{columns[9]}]" in own:
                found.add(("127.0.0.1" if address == "0100007F" else address, int(port, 16)))
    return found


# Requests from outside; none may be taken as a call.
UNINVITED = ["INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "REFER"]


@pytest.mark.parametrize("method", UNINVITED)
def test_nobody_can_call_in(asterisk_server: Asterisk, method: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.settimeout(10)
        here = f"127.0.0.1:{caller.getsockname()[1]}"
        port = asterisk_server.settings.sip_port
        lines = [
            f"{method} sip:s@127.0.0.1:{port} SIP/2.0",
            f"Via: SIP/2.0/UDP {here};branch=z9hG4bK{method}",
            f"From: <sip:trunk@{here}>;tag=1",
            f"To: <sip:s@127.0.0.1:{port}>",
            f"Call-ID: {method}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:trunk@{here}>",
            "Max-Forwards: 70",
            "Content-Length: 0",
        ]
        caller.sendto(("\r\n".join(lines) + "\r\n\r\n").encode(), ("127.0.0.1", port))
        status = int(caller.recv(4096).split()[1])
    assert status == 401


def test_a_missing_prompt_is_a_fault_of_ours_and_never_the_owner_s_silence(tight_server: Asterisk) -> None:
    call = PlacedCall(SILENT)
    wire = call.wire().replace(b"MOVECAR_SPEAK=u82cf", b"MOVECAR_SPEAK=u95fd")
    with tight_server.connect(deadline=30) as probe:
        probe.send_bytes(wire)
        call.events = probe.until(lambda event: event.get("Event") == "Hangup")
    (failure,) = call.user_events("MovecarPromptFailed")
    assert (failure["AttemptId"], failure["Status"], failure["Prompt"]) == (call.attempt, "ERROR", "c-u95fd")
    assert (left_result(tight_server, call.attempt) or "").startswith("failed;")


def test_a_channel_that_is_not_the_attempt_s_own_is_hung_up_unheard(tight_server: Asterisk) -> None:
    call = PlacedCall(AGREEING)
    other = PlacedCall(AGREEING)
    wire = call.wire().replace(
        f"MOVECAR_ATTEMPT={call.attempt}".encode(), f"MOVECAR_ATTEMPT={other.attempt}".encode()
    )
    with tight_server.connect(deadline=30) as probe:
        probe.send_bytes(wire)
        call.events = probe.until(lambda event: event.get("Event") == "Hangup")
    assert not [event for event in call.events if "UserEvent" in event]
    assert left_result(tight_server, other.attempt) is None


def test_a_call_is_cut_at_its_longest_and_calls_beyond_the_limit_are_not_greeted(
    tight_server: Asterisk,
) -> None:
    first, second, crowded = (PlacedCall(SILENT) for _ in range(3))
    calls = {call.attempt: call for call in (first, second, crowded)}

    def greeted(event: Message) -> bool:
        calls[event["Uniqueid"]].events.append(event) if event.get("Uniqueid") in calls else None
        return event.get("UserEvent") == "MovecarGreeting"

    def over(event: Message) -> bool:
        calls[event["Uniqueid"]].events.append(event) if event.get("Uniqueid") in calls else None
        return all(call.over for call in calls.values())

    with tight_server.connect(deadline=30) as probe:
        for call in (first, second):
            probe.send_bytes(call.wire())
            probe.until(greeted)
        probe.send_bytes(crowded.wire())
        probe.until(over)
    assert [call.outcome for call in (first, second, crowded)] == ["hung_up", "hung_up", "failed"]
    assert [event["Status"] for event in crowded.user_events("MovecarPromptFailed")] == ["CROWDED"]
    assert not crowded.user_events("MovecarGreeting")


def test_astdb_forgets_the_oldest_attempts(tight_server: Asterisk) -> None:
    calls = [PlacedCall("13805190009") for _ in range(3)]
    for call in calls:
        place(tight_server, [call])
    left = [left_result(tight_server, call.attempt) for call in calls]
    assert left[0] is None
    assert None not in left[1:]


def test_results_survive_a_killed_switch(tmp_path: Path, owners: Owners, quick_prompts: Path) -> None:
    switch = Asterisk(tmp_path / "killed", prompts=quick_prompts, trunk_uri=owners.uri, key_wait=1)
    switch.start()
    try:
        early, late = PlacedCall(AGREEING), PlacedCall(AGREEING)
        place(switch, [early])
        place(switch, [late])  # AstDB is written to disk within a second; this call takes longer
        switch.kill()
        assert not switch.child.running
        switch.start()
        assert (left_result(switch, early.attempt) or "").startswith("agreed;")
        again = PlacedCall(AGREEING)
        place(switch, [again])
        assert again.outcome == "agreed"
    finally:
        switch.stop()


def test_two_switches_share_no_file_but_the_program(
    asterisk_server: Asterisk, tight_server: Asterisk
) -> None:
    one, other = asterisk_server.settings, tight_server.settings
    assert one.directory != other.directory
    for name in ("directory", "ami_port", "ami_secret", "sip_port", "rtp_first"):
        assert getattr(one, name) != getattr(other, name), name
