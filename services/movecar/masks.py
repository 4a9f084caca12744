"""How owners' names are shown: to everyone only masked (E2)."""

_COMPANY = 4


def mask_name(name: str) -> str:
    """Return a name with all but its first character hidden, e.g. ``王**``; long (company) names keep two."""
    kept = 2 if len(name) > _COMPANY else 1
    return name[:kept] + "**"
