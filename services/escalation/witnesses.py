"""Who at the desk has been given which item of the feed: the feed's proof that a notice was read (C4)."""


class Witnesses:
    """The furthest item each account was given by this process. A restart forgets it; readers come back."""

    def __init__(self) -> None:
        self._reached: dict[str, int] = {}

    def note(self, account: str, seq: int) -> None:
        """Note that an account has every item up to a number."""
        if seq > self._reached.get(account, 0):
            self._reached[account] = seq

    def of(self, seq: int) -> str | None:
        """Return an account that has the item of this number; None while there is none."""
        return next((account for account, reached in self._reached.items() if reached >= seq), None)
