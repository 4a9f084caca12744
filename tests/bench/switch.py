"""Switches that are quick to let go: a call is then little more than what product and switch do about it."""

from deploy.stack.asterisk import Asterisk

GOODBYE_SECONDS = 0.2
_RATE = 8000


class HastySwitch(Asterisk):
    """Every goodbye is over as soon as it has begun. Such prompts are none that the product would accept:
    point `MOVECAR_PROMPTS_DIR` at those they were made from."""

    def _lay_out(self) -> None:
        super()._lay_out()
        for path in self.prompts.glob("goodbye-*"):
            path.write_bytes(path.read_bytes()[: round(GOODBYE_SECONDS * _RATE)])


class PlainSwitch(HastySwitch):
    """The yardstick's: it describes to its manager everything that Asterisk describes by default.

    What was found since to be left out (`stasis.conf`) is measured, and is no part of the measure.
    """

    def _lay_out(self) -> None:
        super()._lay_out()
        (self.settings.etc / "stasis.conf").unlink()
