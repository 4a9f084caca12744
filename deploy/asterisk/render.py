"""Asterisk's configuration files, rendered from checked settings.

Nothing is escaped, because Asterisk's files have no escaping that holds everywhere: a value with any
character outside its field's alphabet is refused instead.
"""

import ipaddress
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from services.common.switches import client_uri

CALLER_ID = "0519110"
"""The number that calls go out from (B1)."""
DESK_NUMBER = "051981997327"
"""The 110 desk's line, as dialled (C3)."""
DESK_CALLER_ID = "114"
"""The number that the desk is called from: never the owners' one (B1)."""

TRUNK = "trunk"
_CALLER = """\
[{name}]
type = aor
qualify_frequency = {qualify}
qualify_timeout = 3.0
contact = {uri}?P-Asserted-Identity=%22{caller_id}%22%20%3Csip:{caller_id}%40{domain}%3E

[{name}](caller)
aors = {name}
{account}from_user = {caller_id}
set_var = CHANNEL(hangup_handler_push)=movecar-gone,s,1
set_var = CONNECTEDLINE(priv-num,i)={caller_id}
set_var = CONNECTEDLINE(priv-num-pres,i)=allowed
set_var = CONNECTEDLINE(priv-name,i)={caller_id}
set_var = CONNECTEDLINE(priv-name-pres,i)=allowed
"""

_REGISTRATION = """\
[{trunk}-account]
type = auth
auth_type = userpass
username = {user}
password = {secret}

[{trunk}-account]
type = registration
transport = transport
outbound_auth = {trunk}-account
server_uri = {uri}
client_uri = {client}
contact_user = {user}
expiration = 300
retry_interval = 10
forbidden_retry_interval = 30
fatal_retry_interval = 60
max_retries = 1000000
auth_rejection_permanent = no
"""

_TEMPLATES = Path(__file__).parent / "templates"
_UNUSED = ("acl", "ccss", "cel", "features", "indications", "pjproject", "udptl")
"""Files of parts of the core that are not used; Asterisk logs errors when they are missing."""
_PATH = r"/[^\x00-\x1f\x7f;|\\\"'`$@,&\u0085\u2028\u2029]*"
_ALPHABETS = {
    "directory": _PATH,
    "modules": _PATH,
    "ami_user": r"[a-z][a-z0-9-]{0,30}",
    "ami_secret": r"[A-Za-z0-9]{24,128}",  # nosec B105 - a pattern
    "trunk_uri": r"sip:[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?(;transport=udp)?",
    "desk_number": r"[0-9]{3,15}",
    "desk_caller_id": r"[0-9]{3,12}",
}
_TRUNK_NAME = r"[a-z][a-z0-9]{0,19}"
_ACCOUNT = r"[A-Za-z0-9._-]{1,64}"
_SEAT_NAME = r"[a-z0-9]{1,20}"
_SEAT_KEY = _ALPHABETS["ami_secret"]
_BOUNDS = {
    "sip_port": (1, 65_535),
    "ami_port": (1, 65_535),
    "rtp_first": (1024, 65_534),
    "rtp_last": (1025, 65_535),
    "max_calls": (1, 10_000),
    "max_seconds": (5, 600),
    "key_wait": (1, 30),
    "seat_wait": (1, 60),
    "memory": (2, 1_000_000),
    "qualify_seconds": (0, 3600),
}


class PbxSettingError(ValueError):
    """A setting of the PBX has a wrong value; the message starts with its name."""


@dataclass(frozen=True)
class PbxSettings:
    """What differs between installations of the PBX. Raises PbxSettingError for a wrong value.

    directory: everything the instance writes lives below it. modules: the program's module directory.
    sip_host: the one address that signalling and speech use, never a wildcard. max_calls: answered calls at
    the same time. max_seconds: longest call. key_wait: seconds the owner has to press a key after the menu.
    memory: attempts whose results are kept in AstDB. caller_ids: the filed numbers; a call goes out from one
    of them, by the endpoint it is placed on, and from no other (B1).
    trunks: name and URI of each; none given: `trunk`, at trunk_uri. registrations: trunk, user and secret of
    those that want one. qualify_seconds: how often they are asked
    whether they are there (OPTIONS); 0: never.
    seats: name and secret of each operator's telephone (B7), who sees the first of the filed numbers.
    seat_clients: networks they may be in. seat_wait: seconds an owner who has been greeted waits for a seat
    that rings.
    shared_spool: where recordings are left when several switches leave them in one place; else below
    `directory`.
    """

    directory: Path
    modules: Path
    ami_secret: str
    ami_port: int
    sip_port: int
    rtp_first: int
    rtp_last: int
    trunk_uri: str = "sip:127.0.0.1:5070"
    trunks: tuple[tuple[str, str], ...] = ()
    registrations: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    qualify_seconds: int = 10
    ami_user: str = "movecar"
    ami_host: str = "127.0.0.1"
    ami_clients: tuple[str, ...] = ("127.0.0.1/32",)
    sip_host: str = "127.0.0.1"
    caller_ids: tuple[str, ...] = (CALLER_ID,)
    desk_number: str = DESK_NUMBER
    desk_caller_id: str = DESK_CALLER_ID
    max_calls: int = 60
    max_seconds: int = 120
    key_wait: int = 6
    memory: int = 10_000
    seats: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    seat_clients: tuple[str, ...] = ("127.0.0.1/32",)
    seat_wait: int = 15
    shared_spool: Path | None = None

    def __post_init__(self) -> None:
        for name, alphabet in _ALPHABETS.items():
            if re.fullmatch(alphabet, str(getattr(self, name))) is None:
                raise PbxSettingError(f"{name} must match {alphabet}")
        for name, (least, most) in _BOUNDS.items():
            if not least <= getattr(self, name) <= most:
                raise PbxSettingError(f"{name} must be between {least} and {most}")
        if self.desk_caller_id in self.caller_ids:
            raise PbxSettingError("desk_caller_id must not be the number that owners are called from (B1)")
        if self.rtp_first >= self.rtp_last:
            raise PbxSettingError("rtp_first must be below rtp_last")
        for name in ("ami_host", "sip_host"):
            _checked(name, lambda value: str(ipaddress.ip_address(value)), getattr(self, name))
        if ipaddress.ip_address(self.sip_host).is_unspecified:
            raise PbxSettingError("sip_host must be one address of this machine")
        if not self.caller_ids or not all(re.fullmatch(r"[0-9]{3,12}", number) for number in self.caller_ids):
            raise PbxSettingError("caller_ids must be numbers of 3 to 12 digits")
        for name in ("ami_clients", "seat_clients"):
            for network in getattr(self, name):
                _checked(name, lambda value: str(ipaddress.ip_network(value)), network)
        if self.shared_spool is not None and re.fullmatch(_PATH, str(self.shared_spool)) is None:
            raise PbxSettingError(f"shared_spool must match {_PATH}")
        _check_trunks(self.trunks)
        _check_registrations(self.registrations, {name for name, _ in self.trunks} or {TRUNK})
        _check_seats(self.seats)

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    @property
    def data(self) -> Path:
        """Holds `documentation` and `sounds` (both may be symbolic links)."""
        return self.directory / "data"

    @property
    def state(self) -> Path:
        """Holds AstDB."""
        return self.directory / "state"

    @property
    def spool(self) -> Path:
        return self.directory / "spool"

    @property
    def recordings(self) -> Path:
        """Where each answered call's recording is: `<attempt id>.wav`."""
        return self.shared_spool or self.spool / "movecar"

    @property
    def run(self) -> Path:
        return self.directory / "run"

    @property
    def log(self) -> Path:
        return self.directory / "log"


def seat_user(name: str) -> str:
    """SIP user, endpoint and address of record of an operator's seat."""
    return f"seat-{name}"


def render(settings: PbxSettings) -> dict[str, str]:
    """File name → contents, for Asterisk's configuration directory."""
    values = {known.name: str(getattr(settings, known.name)) for known in fields(settings)}
    for name in ("etc", "data", "state", "spool", "recordings", "run", "log"):
        values[name] = str(getattr(settings, name))
    values["sip_bind"] = _socket_address(settings.sip_host, settings.sip_port)
    values["ami_permit"] = "\n".join(f"permit = {_network(client)}" for client in settings.ami_clients)
    values["caller_ids"] = ",".join(settings.caller_ids)
    values["caller_id"] = settings.caller_ids[0]
    domain = f"[{settings.sip_host}]" if ":" in settings.sip_host else settings.sip_host
    values["sip_domain"] = domain
    trunks = dict(settings.trunks or ((TRUNK, settings.trunk_uri),))
    registered = {trunk for trunk, _, _ in settings.registrations}
    values["callers"] = "\n".join(
        _CALLER.format(
            name=f"{trunk}-{number}",
            caller_id=number,
            uri=uri.partition(";")[0],
            domain=domain,
            qualify=settings.qualify_seconds,
            account=f"outbound_auth = {trunk}-account\n" if trunk in registered else "",
        )
        for trunk, uri in trunks.items()
        for number in dict.fromkeys(settings.caller_ids)
    )
    values["registrations"] = "\n".join(
        _REGISTRATION.format(
            trunk=trunk,
            user=user,
            secret=secret,
            uri=trunks[trunk].partition(";")[0],
            client=client_uri(trunks[trunk], user),
        )
        for trunk, user, secret in settings.registrations
    )
    uri = settings.trunk_uri.partition(";")[0]
    desk_uri = uri.replace("sip:", f"sip:{settings.desk_number}@", 1)
    values["desk"] = _CALLER.format(
        name="desk", caller_id=settings.desk_caller_id, uri=desk_uri, domain=domain, qualify=0, account=""
    )
    values["seats"] = "\n".join(_seat(settings, values, *seat) for seat in settings.seats)
    unused = {f"{name}.conf": "" for name in _UNUSED}
    return unused | {
        path.name: _ConfTemplate(path.read_text("utf-8")).substitute(values)
        for path in sorted(_TEMPLATES.glob("*.conf"))
    }


def write(settings: PbxSettings) -> None:
    """Write the configuration into `settings.etc`, readable by its owner alone: it holds the AMI secret."""
    settings.etc.mkdir(parents=True, exist_ok=True)
    for name, text in render(settings).items():
        path = settings.etc / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(text, "utf-8")


class _ConfTemplate(string.Template):
    """`@{name}`: the dialplan's own `${…}` stays as it is."""

    delimiter = "@"


def _check_trunks(trunks: tuple[tuple[str, str], ...]) -> None:
    uri_alphabet = _ALPHABETS["trunk_uri"]
    for name, uri in trunks:
        if re.fullmatch(_TRUNK_NAME, name) is None or re.fullmatch(uri_alphabet, uri) is None:
            raise PbxSettingError(f"trunks: a name must match {_TRUNK_NAME}, a URI {uri_alphabet}")
    if len({name for name, _ in trunks}) < len(trunks):
        raise PbxSettingError("trunks: a name is given twice")


def _check_registrations(registrations: tuple[tuple[str, str, str], ...], trunks: set[str]) -> None:
    for trunk, user, secret in registrations:
        if trunk not in trunks:
            raise PbxSettingError(f"registrations: there is no trunk {trunk}")
        if re.fullmatch(_ACCOUNT, user) is None or re.fullmatch(_ACCOUNT, secret) is None:
            raise PbxSettingError(f"registrations: user and secret must match {_ACCOUNT}")


def _check_seats(seats: tuple[tuple[str, str], ...]) -> None:
    for name, secret in seats:
        if re.fullmatch(_SEAT_NAME, name) is None or re.fullmatch(_SEAT_KEY, secret) is None:
            raise PbxSettingError(f"seats: a name must match {_SEAT_NAME}, a secret {_SEAT_KEY}")
    if len({name for name, _ in seats}) < len(seats):
        raise PbxSettingError("seats: a name is given twice")


def _seat(settings: PbxSettings, values: Mapping[str, str], name: str, secret: str) -> str:
    permitted = [_network(client) for client in settings.seat_clients]
    own = {
        "seat": seat_user(name),
        "secret": secret,
        "permit": "\n".join(f"permit = {client}\ncontact_permit = {client}" for client in permitted),
    }
    return _ConfTemplate((_TEMPLATES / "seat.template").read_text("utf-8")).substitute({**values, **own})


def _socket_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _network(text: str) -> str:
    network = ipaddress.ip_network(text)
    return f"{network.network_address}/{network.netmask if network.version == 4 else network.prefixlen}"  # noqa: PLR2004


def _checked(name: str, parse: Callable[[str], str], value: str) -> None:
    try:
        parse(value)
    except ValueError as error:
        raise PbxSettingError(f"{name}: {error}") from error
