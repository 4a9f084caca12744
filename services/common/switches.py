"""The Asterisk nodes and the trunks of an installation, as settings name them."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr

NAME = r"^[a-z][a-z0-9]{0,19}$"
TRUNK_URI = r"^sips?:[A-Za-z0-9._@:\[\]-]+$"


class AsteriskNode(BaseModel):
    """One Asterisk and its manager interface. Its name is kept with every call that is placed on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=NAME)]
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)]
    user: Annotated[str, Field(min_length=1, max_length=64)]
    secret: Annotated[SecretStr, Field(min_length=1)]
    tls: bool = False


class Registration(BaseModel):
    """The account that a trunk is registered with, at the registrar that the trunk's URI leads to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    secret: Annotated[SecretStr, Field(min_length=1)]


class Trunk(BaseModel):
    """One way into the telephone network, which every node has.

    Of the trunks that work, those with the lowest `priority` (0–99) are used, and share the calls by `weight`
    (1–100). `max_calls`: at a time, of each outbound process on each node; None: as many as there are lines.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=NAME)]
    uri: Annotated[str, Field(pattern=TRUNK_URI)]
    max_calls: Annotated[int, Field(ge=1, le=10_000)] | None = None
    priority: Annotated[int, Field(ge=0, le=99)] = 0
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    registration: Registration | None = None

    @property
    def client_uri(self) -> str | None:
        """The address that is registered, as Asterisk names it in its news; None without a registration."""
        return None if self.registration is None else client_uri(self.uri, self.registration.user)


def client_uri(trunk_uri: str, user: str) -> str:
    """Return the address of record of `user` at a trunk's registrar."""
    scheme, _, rest = trunk_uri.partition(":")
    host = rest.rpartition("@")[2].partition(";")[0]
    return f"{scheme}:{user}@{host}"


@dataclass
class SandboxLogin:
    """How the services of a process reach the sandbox PBX in it; `port` is 0 until it listens."""

    host: str
    port: int
    user: str
    secret: str
