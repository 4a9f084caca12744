"""Settings from the environment (prefix `MOVECAR_`) and `.env`; a wrong value stops the start by name."""

import contextlib
import json
import os
import re
import secrets
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.common.ami.actions import ONE_TRUNK
from services.common.call_rules import CallAlarms, CallLimits, Hours, readable
from services.common.crypto import MIN_SECRET_BYTES
from services.common.switches import TRUNK_URI, AsteriskNode, Trunk

PREFIX = "MOVECAR_"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
MAIN_NODE = "main"
"""Name of the Asterisk node of an installation that lists none."""
MIN_RETENTION_DAYS = 1096
"""Three years, one of them a leap year (B8)."""


class SettingsError(Exception):
    """One or more settings are wrong; the message has a line for each, with its name and the remedy."""


def _listen_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004
        raise ValueError("must be HOST:PORT, e.g. 127.0.0.1:8114")
    return value


MailAddress = Annotated[str, Field(pattern=r"^([^@\s<>,;]+@[^@\s<>,;]+)?$", max_length=254)]
SmsNumber = Annotated[str, Field(pattern=r"^(\+?[0-9]{3,20})?$")]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
CERTIFICATE_PLACE = r"^(https://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?|/[^,]+)$"
"""Where a further certificate is found: an address, or an absolute path."""
Waits = Annotated[list[Annotated[float, Field(ge=0, le=86_400)]], Field(max_length=10)]


def _call_record_files(value: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for entry in filter(None, (part.strip() for part in value.split(","))):
        named = re.fullmatch("(?:([a-z0-9-]{1,40})=)?(/.+)", entry)
        if named is None or (named[1] or MAIN_NODE) in files:
            raise ValueError("must be an absolute path, or NODE=PATH for each switch, separated by commas")
        files[named[1] or MAIN_NODE] = Path(named[2])
    return files


class RedialRules(BaseModel):
    """Seconds to wait before each further try, by the outcome of the last one (B6); not listed: no redial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    busy: Waits = []
    no_answer: Waits = []
    congestion: Waits = []
    hung_up: Waits = []


_REDIAL = RedialRules(busy=[60, 120], no_answer=[120, 300], congestion=[5, 15, 30], hung_up=[60])


class Settings(BaseSettings):
    """Everything that differs between installations. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    listen: ListenAddress = "127.0.0.1:8114"
    outbound_listen: ListenAddress = "127.0.0.1:8115"
    escalation_listen: ListenAddress = "127.0.0.1:8116"
    escalation_peer: str = ""
    escalation_role: Literal["active", "standby"] = "active"
    database_url: str = ""
    redis_url: str = ""
    data_dir: Path = Path("var")
    secret_key: SecretStr = SecretStr("")
    pbx: Literal["sandbox", "asterisk"] = "sandbox"
    ami_host: str = "127.0.0.1"
    ami_port: Annotated[int, Field(ge=0, le=65535)] = 0
    ami_user: str = ""
    ami_secret: SecretStr = SecretStr("")
    ami_tls: bool = False
    recording_spool: Path | None = None
    trunk_uri: Annotated[str, Field(pattern=TRUNK_URI)] = "sip:127.0.0.1:5070"
    pbx_nodes: Annotated[tuple[AsteriskNode, ...], NoDecode, Field(max_length=16)] = ()
    trunks: Annotated[tuple[Trunk, ...], NoDecode, Field(max_length=32)] = ()
    prompts_dir: Path | None = None
    tts_command: str = "espeak-ng -v cmn -s 175 -w {wav} {text}"
    registry_url: str = ""
    registry_token: SecretStr = SecretStr("")
    registry_ca: Path | None = None
    registry_csv: Path | None = None
    demo: bool | None = None
    instance: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] = "1"
    demo_password: SecretStr = SecretStr("")
    desk_push_url: str = ""
    desk_push_secret: SecretStr = SecretStr("")
    desk_phone: Annotated[str, Field(pattern=r"^[0-9]+(-[0-9]+)*$")] = "0519-81997327"
    smtp_url: SecretStr = SecretStr("")
    call_records: str = ""
    reconcile_after: Annotated[float, Field(ge=1, le=3600)] = 30
    mail_from: MailAddress = "movecar@localhost"
    desk_email: MailAddress = ""
    supervisor_email: MailAddress = ""
    sms_url: str = ""
    sms_token: SecretStr = SecretStr("")
    desk_sms: SmsNumber = ""
    supervisor_sms: SmsNumber = ""
    drill_push_url: str = ""
    drill_email: MailAddress = ""
    drill_sms: SmsNumber = ""
    redial: Annotated[RedialRules, NoDecode] = _REDIAL
    ring_time: Annotated[float, Field(ge=5, le=120)] = 30
    sandbox_speed: Annotated[float, Field(gt=0, le=1000)] = 10
    max_concurrent_calls: Annotated[int, Field(ge=1, le=10_000)] = 30
    call_limits: Annotated[CallLimits, NoDecode] = CallLimits()
    call_alarms: Annotated[CallAlarms, NoDecode] = CallAlarms()
    calling_hours: Annotated[str, AfterValidator(readable)] = ""
    lookup_deadline: Annotated[float, Field(ge=1, le=600)] = 30
    attention_deadline: Annotated[float, Field(ge=1, le=86_400)] = 300
    notified_grace: Annotated[float, Field(ge=1, le=86_400)] = 900
    calling_margin: Annotated[float, Field(ge=1, le=86_400)] = 120
    session_hours: Annotated[float, Field(gt=0, le=24)] = 12
    fault_after: Annotated[float, Field(ge=1, le=600)] = 15
    operators_after: Annotated[float, Field(ge=0, le=86_400)] = 300
    certificates: str = ""
    certificate_days: Annotated[int, Field(ge=1, le=365)] = 14
    drill_every_days: Annotated[int, Field(ge=1, le=3660)] = 90
    ack_remind: Annotated[float, Field(ge=1, le=3600)] = 60
    ack_call: Annotated[float, Field(ge=1, le=3600)] = 180
    ack_again: Annotated[float, Field(ge=10, le=3600)] = 120
    dispose_within: Annotated[float, Field(ge=1, le=7 * 86_400)] = 7200
    desk_caller_id: Annotated[str, Field(pattern=r"^[0-9]{3,12}$")] = "114"
    retention_days: Annotated[int, Field(ge=MIN_RETENTION_DAYS)] = MIN_RETENTION_DAYS
    log_format: Literal["json", "console"] = "json"

    @field_validator("redial", "call_limits", "call_alarms", "pbx_nodes", "trunks", mode="before")
    @classmethod
    def _are_json(cls, value: object) -> object:
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("pbx_nodes", "trunks")
    @classmethod
    def _names_differ(cls, value: tuple[AsteriskNode, ...] | tuple[Trunk, ...]) -> object:
        if len({item.name for item in value}) != len(value):
            raise ValueError("every name may be used once")
        return value

    @field_validator("escalation_peer")
    @classmethod
    def _peer_is_http(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in {"http", "https"} and parts.hostname and parts.path in {"", "/"}):
            raise ValueError(
                "must be http://HOST:PORT or https://HOST:PORT of the other machine's escalation"
            )
        return value

    @field_validator("redis_url", "registry_url", "desk_push_url", "drill_push_url", "sms_url")
    @classmethod
    def _url_has_scheme_and_host(cls, value: str) -> str:
        if value and not (urlsplit(value).scheme and (urlsplit(value).netloc or urlsplit(value).path)):
            raise ValueError("must be a URL with scheme and host")
        return value

    @field_validator("certificates")
    @classmethod
    def _certificates_can_be_found(cls, value: str) -> str:
        for place in filter(None, (part.strip() for part in value.split(","))):
            if not re.match(CERTIFICATE_PLACE, place):
                raise ValueError("must be https://HOST[:PORT] or absolute paths, separated by commas")
        return value

    @field_validator("call_records")
    @classmethod
    def _call_records_are_files(cls, value: str) -> str:
        _call_record_files(value)
        return value

    @field_validator("registry_url")
    @classmethod
    def _registry_is_private(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
            raise ValueError("must be https: owners' numbers travel over it (http only to this machine)")
        if parts.username or parts.password:
            raise ValueError("must not hold a password: use registry_token")
        return value

    @field_validator("database_url")
    @classmethod
    def _driver_is_named(cls, value: str) -> str:
        if value and not value.startswith(("sqlite+aiosqlite://", "postgresql+asyncpg://")):
            raise ValueError("must start with sqlite+aiosqlite:// or postgresql+asyncpg://")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _mail_server_is_named(cls, value: SecretStr) -> SecretStr:
        parts = urlsplit(value.get_secret_value())
        if value.get_secret_value() and not (parts.scheme in {"smtp", "smtps"} and parts.hostname):
            raise ValueError("must be smtp://HOST[:PORT] or smtps://HOST[:PORT]")
        return value

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        if self.registry_url and self.registry_csv:
            raise ValueError("MOVECAR_REGISTRY_URL and MOVECAR_REGISTRY_CSV exclude each other: keep one")
        one_node = self.ami_port and self.ami_user and self.has_ami_secret
        if self.pbx == "asterisk" and not (self.pbx_nodes or one_node):
            raise ValueError(
                "MOVECAR_PBX: asterisk needs MOVECAR_AMI_PORT, MOVECAR_AMI_USER, MOVECAR_AMI_SECRET,"
                " or MOVECAR_PBX_NODES"
            )
        if self.pbx_nodes and self.pbx != "asterisk":
            raise ValueError("MOVECAR_PBX_NODES: only with MOVECAR_PBX=asterisk")
        if self.desk_push_url and not self._given(self.desk_push_secret):
            raise ValueError(
                "MOVECAR_DESK_PUSH_SECRET: required with MOVECAR_DESK_PUSH_URL, to sign the items"
            )
        if self.drill_push_url and not self._given(self.desk_push_secret):
            raise ValueError(
                "MOVECAR_DESK_PUSH_SECRET: required with MOVECAR_DRILL_PUSH_URL, to sign the items"
            )
        key = self.secret_key.get_secret_value()
        if key and len(key.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"MOVECAR_SECRET_KEY: must be at least {MIN_SECRET_BYTES} bytes")
        if not key and self.escalation_peer:
            raise ValueError("MOVECAR_SECRET_KEY: required with MOVECAR_ESCALATION_PEER, the same on both")
        if not key and not self.embedded:
            raise ValueError("MOVECAR_SECRET_KEY: required with a database of your own")
        return self

    @staticmethod
    def _given(secret: SecretStr) -> bool:
        return bool(secret.get_secret_value())

    @property
    def embedded(self) -> bool:
        """Whether this is the default that needs no other server: one SQLite file under `data_dir`."""
        return not self.database_url

    @property
    def database(self) -> str:
        """The SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir.absolute() / 'movecar.sqlite3'}"

    @property
    def spool(self) -> Path | None:
        """Where the PBX leaves its recordings; the sandbox has a place of its own. None: nobody looks."""
        if self.recording_spool is None and self.pbx == "sandbox":
            return self.data_dir / "sandbox-spool"
        return self.recording_spool

    @property
    def recordings(self) -> Path:
        """Where recordings are kept, sealed."""
        return self.data_dir / "recordings"

    @property
    def has_ami_secret(self) -> bool:
        """Whether `ami_secret` was given."""
        return self._given(self.ami_secret)

    @property
    def asterisk_nodes(self) -> tuple[AsteriskNode, ...]:
        """Every Asterisk that calls are placed on: those listed, or the one of `ami_*`."""
        return self.pbx_nodes or (
            AsteriskNode(
                name=MAIN_NODE,
                host=self.ami_host,
                port=self.ami_port,
                user=self.ami_user,
                secret=self.ami_secret,
                tls=self.ami_tls,
            ),
        )

    @property
    def all_trunks(self) -> tuple[Trunk, ...]:
        """Every trunk: those listed, or the one of `trunk_uri`, named `trunk`."""
        return self.trunks or (Trunk(name=ONE_TRUNK, uri=self.trunk_uri),)

    @property
    def is_demo(self) -> bool:
        """Whether demo accounts and the demo registry exist; every page then says so."""
        if self.demo is not None:
            return self.demo
        return self.embedded or self._given(self.demo_password)

    @property
    def limits(self) -> CallLimits:
        """The limits in force. A demo has none unless they are given: its ten numbers are nobody's."""
        given = "call_limits" in self.model_fields_set
        return self.call_limits if given or not self.is_demo else CallLimits.none()

    @property
    def operators_missed_after(self) -> float:
        """Seconds without any operator after which the desk is told; 0: never.

        A demo tells only when a time is given: nobody works in it.
        """
        given = "operators_after" in self.model_fields_set
        return self.operators_after if given or not self.is_demo else 0

    @property
    def hours(self) -> Hours | None:
        """The hours at which owners may be called; None for every hour."""
        return Hours.read(self.calling_hours)

    @property
    def call_record_files(self) -> dict[str, Path]:
        """Name of a switch → the file that it writes its call records into (B4)."""
        if not self.call_records and self.pbx == "sandbox":
            return {MAIN_NODE: self.data_dir / "cdr-custom" / "movecar.csv"}
        return _call_record_files(self.call_records)

    def root_secret(self) -> str:
        """Return the root of all keys; on the embedded default it is made once and kept in `data_dir`."""
        given = self.secret_key.get_secret_value()
        if given:
            return given
        path = self.data_dir / "secret_key"
        self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Whole or not at all: a process beside this one, or after a crash, must not find half a key.
            draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        found = path.read_text().strip()
        if len(found.encode()) < MIN_SECRET_BYTES:
            raise SettingsError(f"{PREFIX}SECRET_KEY: {path} must hold at least {MIN_SECRET_BYTES} bytes")
        return found


def load_settings(**overrides: object) -> Settings:
    """Read the settings. Raises SettingsError with every wrong name on its own line."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = []
        for item in error.errors():
            message = item["msg"].removeprefix("Value error, ")
            if item["loc"]:  # else the message itself says which settings do not fit together
                name, *inner = (str(part) for part in item["loc"])
                message = ": ".join([PREFIX + name.upper(), *filter(None, [".".join(inner)]), message])
            lines.append(message)
        raise SettingsError("\n".join(lines)) from None
