"""Settings: the public defaults, and every wrong value stops the start under its own name."""

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from services.common.call_rules import CallLimits
from services.common.settings import Settings, SettingsError, load_settings

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("MOVECAR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("listen", "127.0.0.1:8114"),
        ("database_url", ""),  # SQLite under the data directory
        ("redis_url", ""),  # in-process bus
        ("data_dir", Path("var")),
        ("pbx", "sandbox"),
        ("trunk_uri", "sip:127.0.0.1:5070"),
        ("registry_url", ""),
        ("registry_ca", None),
        ("desk_phone", "0519-81997327"),
        ("fault_after", 15),
        ("ack_remind", 60),
        ("ack_call", 180),
        ("retention_days", 1096),
        ("ring_time", 30),
    ],
)
def test_defaults_are_the_documented_ones(name: str, default: Any) -> None:
    assert getattr(load_settings(), name) == default


def test_the_default_redial_rules_are_the_documented_ones() -> None:
    assert load_settings().redial.model_dump() == {
        "busy": [60, 120],
        "no_answer": [120, 300],
        "congestion": [5, 15, 30],
        "hung_up": [60],
    }


def test_without_settings_it_is_the_embedded_demo() -> None:
    settings = load_settings()
    assert settings.embedded
    assert settings.is_demo
    assert settings.database == f"sqlite+aiosqlite:///{Path('var').absolute() / 'movecar.sqlite3'}"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"LISTEN": "8114"}, "MOVECAR_LISTEN: must be HOST:PORT"),
        ({"LISTEN": "127.0.0.1:70000"}, "MOVECAR_LISTEN: must be HOST:PORT"),
        ({"LISTEN": "127.0.0.1:８114"}, "MOVECAR_LISTEN: must be HOST:PORT"),  # a full-width digit
        ({"OUTBOUND_LISTEN": ":1"}, "MOVECAR_OUTBOUND_LISTEN: must be HOST:PORT"),
        ({"ESCALATION_LISTEN": "x"}, "MOVECAR_ESCALATION_LISTEN: must be HOST:PORT"),
        # the synchronous driver; another database
        ({"DATABASE_URL": "postgresql://h/d", "SECRET_KEY": KEY}, "MOVECAR_DATABASE_URL: must start with"),
        ({"DATABASE_URL": "mysql://h/d", "SECRET_KEY": KEY}, "MOVECAR_DATABASE_URL: must start with"),
        ({"DATABASE_URL": "postgresql+asyncpg://h/d"}, "MOVECAR_SECRET_KEY: required"),
        ({"REDIS_URL": "localhost"}, "MOVECAR_REDIS_URL: must be a URL"),
        ({"SECRET_KEY": "short"}, "MOVECAR_SECRET_KEY: must be at least 32 bytes"),
        ({"PBX": "freeswitch"}, "MOVECAR_PBX: "),
        ({"PBX": "asterisk"}, "MOVECAR_PBX: asterisk needs MOVECAR_AMI_PORT"),
        ({"AMI_PORT": "65536"}, "MOVECAR_AMI_PORT: "),
        ({"AMI_PORT": "five"}, "MOVECAR_AMI_PORT: "),
        ({"TRUNK_URI": "127.0.0.1:5070"}, "MOVECAR_TRUNK_URI: "),
        ({"TRUNK_URI": "sip:h\nexten => s,1,System(x)"}, "MOVECAR_TRUNK_URI: "),  # ends in Asterisk's files
        ({"REGISTRY_URL": "h"}, "MOVECAR_REGISTRY_URL: must be a URL"),
        # Owners' numbers never travel in clear text, nor passwords in a URL that logs may show.
        ({"REGISTRY_URL": "http://h"}, "MOVECAR_REGISTRY_URL: must be https"),
        ({"REGISTRY_URL": "https://u:p@h"}, "MOVECAR_REGISTRY_URL: must not hold a password"),
        (
            {"REGISTRY_URL": "https://h", "REGISTRY_CSV": "f.csv"},
            "MOVECAR_REGISTRY_URL and MOVECAR_REGISTRY_CSV exclude each other",
        ),
        ({"DESK_PUSH_URL": "desk", "DESK_PUSH_SECRET": "s"}, "MOVECAR_DESK_PUSH_URL: must be a URL"),
        ({"DESK_PUSH_URL": "http://desk"}, "MOVECAR_DESK_PUSH_SECRET: required"),
        ({"DESK_PHONE": "0519 8199;7327"}, "MOVECAR_DESK_PHONE: "),
        ({"INSTANCE": "A b"}, "MOVECAR_INSTANCE: "),
        ({"INSTANCE": "a\n"}, "MOVECAR_INSTANCE: "),
        ({"DEMO": "perhaps"}, "MOVECAR_DEMO: "),
        ({"CERTIFICATES": "ssl/114.pem"}, "MOVECAR_CERTIFICATES: must be https"),
        ({"CERTIFICATES": "http://h"}, "MOVECAR_CERTIFICATES: must be https"),
        ({"CERTIFICATES": "https://h/p,/a"}, "MOVECAR_CERTIFICATES: must be https"),  # shown to any path
        ({"CALL_ALARMS": '{"failing_share":0}'}, "MOVECAR_CALL_ALARMS: failing_share: "),  # always
        ({"CALL_RECORDS": "log/movecar.csv"}, "MOVECAR_CALL_RECORDS: must be an absolute path"),
        ({"CALL_RECORDS": "/a,/b"}, "MOVECAR_CALL_RECORDS: must be an absolute path"),  # which is which?
        ({"CALL_RECORDS": "a=/a,a=/b"}, "MOVECAR_CALL_RECORDS: must be an absolute path"),
        ({"REDIAL": "busy"}, "MOVECAR_REDIAL: "),  # not JSON
        ({"REDIAL": "[60]"}, "MOVECAR_REDIAL: "),  # not an object
        ({"REDIAL": '{"busy":60}'}, "MOVECAR_REDIAL: busy: "),
        ({"REDIAL": '{"busy":[60,-1]}'}, "MOVECAR_REDIAL: busy.1: "),
        ({"REDIAL": '{"busy":[NaN]}'}, "MOVECAR_REDIAL: busy.0: "),
        ({"REDIAL": '{"busy":[1,1,1,1,1,1,1,1,1,1,1]}'}, "MOVECAR_REDIAL: busy: "),  # eleven tries
        ({"REDIAL": '{"agreed":[60]}'}, "MOVECAR_REDIAL: agreed: "),  # nobody is called again who agreed
        ({"CALL_LIMITS": '{"number":3}'}, "MOVECAR_CALL_LIMITS: number: "),
        ({"CALL_LIMITS": '{"number":{"1h":0}}'}, "MOVECAR_CALL_LIMITS: number.1h: "),  # that is no limit
        ({"CALL_LIMITS": '{"number":{"1d":9}}'}, "MOVECAR_CALL_LIMITS: number.1d"),  # 24h
        ({"CALL_LIMITS": '{"owners":{"1h":9}}'}, "MOVECAR_CALL_LIMITS: owners: "),
        ({"CALLING_HOURS": "6-23"}, "MOVECAR_CALLING_HOURS: must be HH:MM-HH:MM"),
        ({"CALLING_HOURS": "06:00-06:00"}, "MOVECAR_CALLING_HOURS: must not begin and end"),
        ({"RING_TIME": "1"}, "MOVECAR_RING_TIME: "),
        ({"SANDBOX_SPEED": "0"}, "MOVECAR_SANDBOX_SPEED: "),
        ({"MAX_CONCURRENT_CALLS": "0"}, "MOVECAR_MAX_CONCURRENT_CALLS: "),
        ({"SESSION_HOURS": "25"}, "MOVECAR_SESSION_HOURS: "),
        ({"FAULT_AFTER": "inf"}, "MOVECAR_FAULT_AFTER: "),
        ({"ACK_REMIND": "nan"}, "MOVECAR_ACK_REMIND: "),
        ({"ACK_CALL": "0"}, "MOVECAR_ACK_CALL: "),
        ({"RETENTION_DAYS": "1095"}, "MOVECAR_RETENTION_DAYS: "),  # three years have 1,096 days
        ({"LOG_FORMAT": "xml"}, "MOVECAR_LOG_FORMAT: "),
    ],
)
def test_a_wrong_value_stops_the_start_under_its_name(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"MOVECAR_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("environment", "files"),
    [
        ({}, {"main": Path("var/cdr-custom/movecar.csv")}),  # the sandbox's own
        ({"CALL_RECORDS": "/log/movecar.csv"}, {"main": Path("/log/movecar.csv")}),
        ({"CALL_RECORDS": "a=/a.csv, b=/b.csv"}, {"a": Path("/a.csv"), "b": Path("/b.csv")}),
        ({"PBX": "asterisk", "AMI_PORT": "1", "AMI_USER": "u", "AMI_SECRET": "s"}, {}),  # not collected
    ],
)
def test_call_records_are_collected_from_the_files_that_are_named(
    environment: dict[str, str], files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(f"MOVECAR_{name}", value)
    assert load_settings().call_record_files == files


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVECAR_LISTEN", "x")
    monkeypatch.setenv("MOVECAR_RETENTION_DAYS", "1")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "MOVECAR_LISTEN",
        "MOVECAR_RETENTION_DAYS",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AMI_SECRET", "hush-hush"),
        ("DEMO_PASSWORD", "hush-hush"),
        ("DESK_PUSH_SECRET", "hush-hush"),
        ("SMS_TOKEN", "hush-hush"),
        ("SMTP_URL", "smtps://user:hush-hush@mail.example.com"),
    ],
)
def test_secrets_do_not_show(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MOVECAR_{name}", value)
    assert "hush-hush" not in repr(load_settings())


def test_a_secret_that_is_wrong_is_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVECAR_SECRET_KEY", "hush-hush")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hush-hush" not in str(caught.value)


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVECAR_LISTEN", "")
    assert load_settings().listen == "127.0.0.1:8114"


def test_an_outcome_that_redial_does_not_list_is_not_redialled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVECAR_REDIAL", '{"busy":[1.5],"no_answer":[]}')
    rules = load_settings().redial
    assert rules.busy == [1.5]
    assert rules.no_answer == rules.congestion == rules.hung_up == []


def test_limits_that_are_not_named_keep_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOVECAR_CALL_LIMITS", '{"number":{"10m":2},"service":{}}')
    limits = load_settings().limits
    assert limits.number == {"10m": 2}
    assert limits.service == {}
    assert limits.owner == CallLimits().owner


def test_only_a_demo_that_names_no_limits_has_none() -> None:
    own = {"database_url": "sqlite+aiosqlite:///own.sqlite3", "secret_key": "x" * 32}
    assert load_settings().limits == CallLimits.none()
    assert load_settings(call_limits={}).limits == CallLimits()
    assert load_settings(**own).limits == CallLimits()
    assert load_settings(**own, demo_password="shown to everybody").limits == CallLimits.none()


def test_the_environment_comes_before_the_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("MOVECAR_LISTEN=0.0.0.0:1\nMOVECAR_ACK_CALL=90\nOTHER_TOOL=1\n")
    monkeypatch.setenv("MOVECAR_LISTEN", "0.0.0.0:2")
    settings = load_settings()
    assert settings.listen == "0.0.0.0:2"
    assert settings.ack_call == 90


def test_the_root_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "var")
    secret = settings.root_secret()
    file = tmp_path / "var" / "secret_key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(secret) >= 32
    assert load_settings(data_dir=tmp_path / "var").root_secret() == secret
    assert [path.name for path in file.parent.iterdir()] == ["secret_key"]


def test_processes_that_start_together_get_one_root_secret(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    together = threading.Barrier(8)
    found: list[str] = []

    def start() -> None:
        together.wait()
        found.append(settings.root_secret())

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_given_root_secret_is_kept_nowhere(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path, secret_key=KEY).root_secret() == KEY
    assert list(tmp_path.iterdir()) == []


def test_a_spoilt_key_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(SettingsError, match=r"MOVECAR_SECRET_KEY: .*secret_key must hold"):
        load_settings(data_dir=tmp_path).root_secret()
