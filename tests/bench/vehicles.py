"""The generated registry: vehicle number i has a plate and an owner's number that no other one has."""

from pathlib import Path

AGREES = "1"
DISPUTES = "5"
"""Last digits of owners' numbers; see owners.xml."""
MOST = 100_000


def plate(index: int) -> str:
    """Plate of vehicle `index` (0 to MOST - 1)."""
    return f"苏D{index:05d}"


def phone(index: int, disputes_from: int) -> str:
    """Its owner's number; those from `disputes_from` on dispute, the others agree."""
    return f"138{index:07d}{DISPUTES if index >= disputes_from else AGREES}"


def write_csv(path: Path, count: int, disputes_from: int) -> None:
    """Write the registry's file."""
    with path.open("w", encoding="utf-8") as file:
        file.write("plate,color,owner,phones\n")
        file.writelines(
            f"{plate(index)},蓝,王{index},{phone(index, disputes_from)}\n" for index in range(count)
        )
