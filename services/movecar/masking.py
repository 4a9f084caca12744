"""How personal data is shown to people who work with cases (E2). Phones: services.common.phones.mask."""


def mask_name(name: str) -> str:
    """Return a name as `王**`: the first character and always two stars, so that length tells nothing."""
    return f"{name.strip()[:1]}**"
