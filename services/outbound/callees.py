"""Whom a contact may be rung at: the owner's numbers, opened here and nowhere else in the caller (B4, E2)."""

from collections.abc import Container, Sequence
from dataclasses import dataclass

from services.common.crypto import Keys
from services.common.phones import InvalidPhone, callable_number


@dataclass(frozen=True, slots=True)
class Callees:
    """The numbers of a contact that may be rung, in calling order: sealed, and as blind indexes."""

    sealed: list[str]
    indexes: list[str]


def context(contact_id: str) -> str:
    """Return the context that a contact's numbers and plate are sealed for."""
    return f"contact:{contact_id}"


def callable_ones(keys: Keys, contact_id: str, sealed: Sequence[str], own: Container[str]) -> Callees:
    """Keep the numbers that may be called, each once: the registry is not to be trusted with that (B4).

    Raises SealBroken.
    """
    found: dict[str, str] = {}
    for item in sealed:
        try:
            digits = callable_number(keys.open(item, context(contact_id)), own).digits
        except InvalidPhone:
            continue
        found.setdefault(keys.index("phone", digits), item)
    return Callees(list(found.values()), list(found))


def digits_to_dial(keys: Keys, contact_id: str, sealed: str) -> str:
    """Return the number as it is dialled. Raises SealBroken or InvalidPhone."""
    return callable_number(keys.open(sealed, context(contact_id))).digits
