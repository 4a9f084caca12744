"""The three ways an action can fail, kept apart because a call is placed at most once (B5)."""


class AmiError(Exception):
    """An action did not succeed. `reason` is a stable lowercase code, safe to log and to count."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotSent(AmiError):
    """Provably no byte of the action reached the connection: nothing happened, it may be tried again."""


class Refused(AmiError):
    """Asterisk answered `Error`: it did not carry the action out. `message` is its text (≤ 200 chars)."""

    def __init__(self, message: str) -> None:
        super().__init__("refused")
        self.message = message

    def __str__(self) -> str:
        return f"refused: {self.message}"


class Unknown(AmiError):
    """The action was sent, wholly or in part, and never answered: it may or may not have happened."""


class UnsafeValue(ValueError):
    """A value that has no place in an action; names the action and the field, never the value."""
