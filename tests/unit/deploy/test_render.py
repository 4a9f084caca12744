"""The PBX's configuration: wrong values are refused, and what makes it safe is really in the files."""

import dataclasses
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.asterisk.render import PbxSettingError, PbxSettings, render, write

GOOD: dict[str, Any] = {
    "directory": Path("/srv/pbx"),
    "modules": Path("/usr/lib/asterisk/modules"),
    "ami_secret": "s" * 48,
    "ami_port": 5038,
    "sip_port": 5060,
    "rtp_first": 10_000,
    "rtp_last": 10_100,
}

# setting, value: each would change the meaning of a file, or open the switch
WRONG: list[tuple[str, Any]] = [
    ("directory", Path("relative")),
    ("directory", Path("/srv/a\nb")),
    ("directory", Path("/srv/a;b")),  # a comment in Asterisk's files
    ("directory", Path("/srv/${SHELL(id)}")),
    ("modules", Path("/usr/lib/x\r")),
    ("ami_secret", "short"),
    ("ami_secret", "s" * 24 + "\npermit = 0.0.0.0/0"),
    ("ami_user", "general"[:0]),
    ("ami_user", "x]\nsecret = y"),
    ("ami_host", "localhost"),  # a name could come to mean another address
    ("ami_clients", ("10.0.0.0/33",)),
    ("ami_clients", ("anything",)),
    ("sip_host", "0.0.0.0"),
    ("sip_host", "::"),
    ("trunk_uri", "sip:0519110@example.cn"),  # a user part would be called instead of the owner
    ("trunk_uri", "sip:127.0.0.1:5070\ncontact=sip:elsewhere"),
    ("trunk_uri", "tel:110"),
    ("trunk_uri", "sip:127.0.0.1;transport=tcp"),  # only UDP is configured
    ("caller_ids", ("0519110>",)),
    ("caller_ids", ("",)),
    ("caller_ids", ()),
    ("rtp_first", 10_200),
    ("ami_port", 0),
    ("max_seconds", 100_000),
    ("key_wait", 0),
    ("memory", 1),
    ("registrations", (("elsewhere", "user", "secret"),)),  # there is no such trunk
    ("registrations", (("trunk", "user\ncontact=sip:x", "secret"),)),
    ("registrations", (("trunk", "user", ""),)),
    ("shared_spool", Path("relative")),
    ("shared_spool", Path("/srv/spool,x")),  # a comma would begin MixMonitor's options
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused_by_the_name_of_its_setting(name: str, value: Any) -> None:
    with pytest.raises(PbxSettingError, match=name.removesuffix("_first")):
        PbxSettings(**(GOOD | {name: value}))


TEXTS = [field.name for field in dataclasses.fields(PbxSettings) if field.type in (str, Path, "str", "Path")]


@given(st.sampled_from(TEXTS), st.sampled_from("\r\n\x00\x0b\x0c\x1c\x85\u2028\u2029;"), st.data())
def test_no_text_with_a_line_break_or_comment_is_accepted(
    name: str, breaker: str, data: st.DataObject
) -> None:
    good = str(getattr(PbxSettings(**GOOD), name))
    position = data.draw(st.integers(0, len(good)))
    bad = good[:position] + breaker + good[position:]
    with pytest.raises(PbxSettingError):
        PbxSettings(**(GOOD | {name: Path(bad) if name in ("directory", "modules") else bad}))


@pytest.fixture
def files() -> dict[str, str]:
    return render(PbxSettings(**GOOD))


def _section(text: str, name: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    current = ""
    for line in (line.partition(";")[0].strip() for line in text.splitlines()):
        if line.startswith("["):
            current = line.strip("[]")
        elif "=" in line and current == name:
            key, _, value = line.partition("=")
            values.setdefault(key.strip(), []).append(value.strip(" >"))
    return values


def test_every_placeholder_is_filled(files: dict[str, str]) -> None:
    assert not [name for name, text in files.items() if "@{" in text]


def test_the_manager_account_has_the_rights_it_needs_and_no_others(files: dict[str, str]) -> None:
    account = _section(files["manager.conf"], "movecar")
    assert set(account["write"][0].split(",")) == {"originate", "call", "reporting"}
    assert account["deny"][0] == "0.0.0.0/0.0.0.0"
    assert account["permit"] == ["127.0.0.1/255.255.255.255"]
    general = _section(files["manager.conf"], "general")
    assert (general["bindaddr"], general["webenabled"]) == (["127.0.0.1"], ["no"])


def test_what_could_reach_the_system_is_not_loaded(files: dict[str, str]) -> None:
    modules = _section(files["modules.conf"], "modules")
    assert modules["autoload"] == ["no"]
    loaded = " ".join(modules["require"] + modules["load"])
    # app_originate is loaded for the seats (B7): that AMI cannot use it is shown on a real switch
    dangerous = ("app_system", "func_shell", "func_env", "func_curl", "res_agi", "app_dial", "app_exec")
    assert not [name for name in (*dangerous, "pbx_spool", "res_ari", "header_funcs") if name in loaded]
    assert _section(files["asterisk.conf"], "options")["live_dangerously"] == ["no"]


def test_each_filed_caller_id_has_an_endpoint_that_forces_it_and_no_other_exists() -> None:
    files = render(PbxSettings(**(GOOD | {"caller_ids": ("0519110", "0519119")})))
    text = files["pjsip.conf"]
    for number in ("0519110", "0519119"):
        endpoint = _section(text, f"trunk-{number}](caller)")
        assert endpoint["from_user"] == [number]
        (contact,) = _section(text, f"trunk-{number}")["contact"]
        assert unquote(contact).endswith(f'?P-Asserted-Identity="{number}" <sip:{number}@127.0.0.1>')
    # made from the channel, they would say what an Originate's variables say
    caller = _section(text, "caller](!)")
    assert (caller["send_pai"], caller["send_rpid"]) == (["no"], ["no"])
    assert text.count("type = endpoint") == 1
    assert _section(files["extensions.conf"], "globals")["MOVECAR_CALLER_IDS"] == ["0519110,0519119"]


def test_a_trunk_with_an_account_is_registered_and_its_calls_answer_a_challenge() -> None:
    given = {
        "trunks": (("a", "sip:10.0.0.1:5080"), ("b", "sip:10.0.0.2")),
        "registrations": (("a", "u", "s"),),
    }
    text = render(PbxSettings(**(GOOD | given)))["pjsip.conf"]
    assert "server_uri = sip:10.0.0.1:5080\nclient_uri = sip:u@10.0.0.1:5080\n" in text
    assert _section(text, "a-0519110](caller)")["outbound_auth"] == ["a-account"]
    assert "outbound_auth" not in _section(text, "b-0519110](caller)")


def test_only_its_owner_can_read_what_is_written(tmp_path: Path) -> None:
    settings = PbxSettings(**(GOOD | {"directory": tmp_path / "pbx"}))
    write(settings)
    write(settings)  # again over what is there, as every start does
    modes = {path.name: path.stat().st_mode & 0o777 for path in settings.etc.iterdir()}
    assert set(modes.values()) == {0o600}
    assert "extensions.conf" in modes


def test_switches_may_leave_their_recordings_in_one_place() -> None:
    own, shared = PbxSettings(**GOOD), PbxSettings(**GOOD, shared_spool=Path("/srv/recordings"))
    assert "MixMonitor(/srv/pbx/spool/movecar/${ATTEMPT}.wav)" in render(own)["extensions.conf"]
    assert "MixMonitor(/srv/recordings/${ATTEMPT}.wav)" in render(shared)["extensions.conf"]
