"""Car owners who answer their phones: a SIPp server whose behaviour follows the called number.

    number        behaviour                              outcome
    …0 to …4      answers, presses 1                     agreed
    …5            answers, presses 2                     disputed
    …6            486 busy                               busy
    …7            rings until the call is given up       no_answer
    …8            603 declines                           declined
    …9            answers, hangs up at once              hung_up
    13900000100   answers, presses 0                     wanted_operator
    13900000103   answers, presses 3                     refused
    13900000105   answers, presses 5 (not offered)       no_input
    13900000110   answers, says and presses nothing      no_input
    13900000120   answers and talks, presses nothing     no_input, or wanted_operator once it has met a seat
    13900000121   answers, presses 1 `late` seconds on   agreed
    13900000122   answers and talks for `late` seconds   the same
    13900000404   404 no such number                     unallocated
    13900000480   480 unavailable (switched off)         no_answer
    13900000500   500 the network failed                 congestion
    13900000501   501 the network refuses such calls     failed
    13900000503   503 the network is full                congestion

The last digit decides for every number that is not listed in full.
"""

from pathlib import Path

from deploy.stack import packages
from deploy.stack.account import myself
from deploy.stack.child import Child, PartFailedError
from deploy.stack.ports import LOOPBACK, free_port, is_free
from deploy.stack.sip_trace import Invite, invites
from deploy.stack.tones import OWNER_HERTZ, write_tone

SCENARIO = Path(__file__).with_name("owners.xml")
_TALK_SECONDS = 120


def full_network() -> str:
    """The scenario of a trunk that answers OPTIONS, and every call with 503."""
    first = '<nop test="unallocated"'
    return SCENARIO.read_text("utf-8").replace(first, f'<nop next="congestion"/>\n  {first}', 1)


class Owners:
    """The SIPp process. `press_after`: seconds between answering and pressing a key; `late`: the same for
    those who take their time; `trace`: keep every SIP message (off for load tests); `scenario`: who behaves
    how, in place of `SCENARIO`.

    Raises PartMissingError when SIPp cannot be had or may not send keypresses, PartFailedError when it does
    not start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        press_after: float = 1.0,
        late: float = 12.0,
        trace: bool = True,
        scenario: str = "",
    ) -> None:
        self.directory = directory.absolute()
        self.port = port or free_port(2)
        self._media_port = free_port(4)
        self._press_after = press_after
        self._late = late
        self._trace = trace
        self.scenario = scenario or SCENARIO.read_text("utf-8")
        """What they do once they are started the next time."""
        self._program = packages.sipp_for_keypresses()
        self._pcaps = packages.sipp_pcaps()
        self._child: Child | None = None

    @property
    def uri(self) -> str:
        """Trunk URI that leads to them."""
        return f"sip:{LOOPBACK}:{self.port}"

    @property
    def trace(self) -> Path:
        """Every SIP message they received and sent, as SIPp writes it."""
        return self.directory / "messages.log"

    @property
    def child(self) -> Child:
        """The running process; raises PartFailedError before the first `start()`."""
        if self._child is None:
            raise PartFailedError("the owners were not started")
        return self._child

    def invites(self) -> list[Invite]:
        """Every call that reached them so far, as it was on the wire (B1)."""
        return invites(self.trace)

    def start(self) -> None:
        """Start them and return when they can be called."""
        self.spawn()
        self.wait_ready()

    def spawn(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        scenario = self.directory / "owners.xml"
        text = self.scenario.replace("PCAPS", str(self._pcaps))
        text = text.replace("PRESS_AFTER", str(round(self._press_after * 1000)))
        tone = self.directory / "voice.pcap"
        write_tone(tone, OWNER_HERTZ, _TALK_SECONDS)
        text = text.replace("LATE", str(round(self._late * 1000))).replace("TONE", str(tone))
        scenario.write_text(text, "utf-8")
        command = [str(self._program), "-sf", str(scenario), "-i", LOOPBACK, "-p", str(self.port), "-nostdin"]
        command += ["-mi", LOOPBACK, "-mp", str(self._media_port)]
        if self._trace:
            command += ["-trace_msg", "-message_file", str(self.trace), "-message_overwrite", "false"]
        self._child = Child(
            "SIPp owners",
            command,
            log=self.directory / "sipp.log",
            account=myself(),  # keypresses are sent over a raw socket
            cwd=self.directory,
            discard_output=True,  # a full-screen display
        )
        self._child.spawn()

    def wait_ready(self, deadline: float = 15.0) -> None:
        self.child.wait_until(lambda: not is_free(self.port), deadline)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(patience=1.0)

    def kill(self) -> None:
        """SIGKILL: the trunk goes dead."""
        self.child.kill()
