"""What an installation allows of its calls: how many, at which hours, and what is suspicious (B4)."""

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from services.common.clock import local

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")

Span = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[smh]$")]
"""A length of time: a number and `s`, `m` or `h`."""
Windows = Annotated[dict[Span, Annotated[int, Field(ge=1, le=1_000_000)]], Field(max_length=3)]


@dataclass(frozen=True, slots=True)
class Window:
    """At most `calls` in any stretch of time as long as `length`."""

    calls: int
    length: timedelta


class CallLimits(BaseModel):
    """Calls dialled in sliding windows, as `{"1h": 20}`; `{}`: no limit. What is left out keeps its default.

    `number`: to one number. `owner`: to all numbers of one owner, for whichever of their vehicles.
    `operator`: for the cases of one operator. `trunk`: over one trunk. `service`: of the whole installation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: Windows = {"1h": 20, "24h": 40}
    owner: Windows = {"1h": 40, "24h": 120}
    operator: Windows = {"1h": 300}
    trunk: Windows = {}
    service: Windows = {"1m": 600}

    @classmethod
    def none(cls) -> Self:
        """Return limits that limit nothing."""
        return cls(number={}, owner={}, operator={}, trunk={}, service={})


def windows_of(spans: dict[str, int]) -> tuple[Window, ...]:
    """Return the windows of one limit, the longest last."""
    found = (
        Window(calls, timedelta(seconds=int(span[:-1]) * _SECONDS[span[-1]])) for span, calls in spans.items()
    )
    return tuple(sorted(found, key=lambda window: window.length))


@dataclass(frozen=True, slots=True)
class Hours:
    """Hours of the day in Asia/Shanghai, from `begin` on and before `end`; they may cross midnight."""

    begin: time
    end: time

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read `HH:MM-HH:MM`; None for an empty text, which stands for every hour. Raises ValueError."""
        if not text:
            return None
        found = _HOURS.fullmatch(text)
        if found is None:
            raise ValueError("must be HH:MM-HH:MM, e.g. 06:00-23:00, or empty for every hour")
        begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
        if begin == end:
            raise ValueError("must not begin and end at the same minute; leave it empty for every hour")
        return cls(begin, end)

    def include(self, moment: datetime) -> bool:
        """Tell whether a moment lies within these hours."""
        clock = local(moment).time()
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end

    def began(self, moment: datetime) -> datetime:
        """Return when these hours last began, at or before `moment`."""
        clock = local(moment)
        start = datetime.combine(clock.date(), self.begin, clock.tzinfo)
        return start if start <= clock else start - timedelta(days=1)


def readable(text: str) -> str:
    """Return the text when `Hours` can read it. Raises ValueError."""
    Hours.read(text)
    return text


class CallAlarms(BaseModel):
    """When calls are suspicious, or fail too often. Nothing is stopped by it.

    What is suspicious opens an incident; those figures are of an hour.
    `night`: hours of the night, empty for none, in which more than `night_calls` are too many. More than
    `spike_calls` and `spike_factor` times what is usual at that hour are a spike. Calls to more than
    `operator_numbers` different numbers for one operator, or more than `unallocated_calls` to numbers that do
    not exist, and more than `unallocated_share` of all, look like fraud.

    Calls fail too often when of the last `failing_minutes`, with `failing_calls` or more, at least
    `failing_share` ended by no doing of an owner.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    night: Annotated[str, AfterValidator(readable)] = "23:00-06:00"
    night_calls: Annotated[int, Field(ge=1)] = 60
    spike_calls: Annotated[int, Field(ge=1)] = 300
    spike_factor: Annotated[float, Field(ge=1, le=1000)] = 5
    operator_numbers: Annotated[int, Field(ge=1)] = 120
    unallocated_calls: Annotated[int, Field(ge=1)] = 20
    unallocated_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    failing_calls: Annotated[int, Field(ge=1)] = 10
    failing_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    failing_minutes: Annotated[float, Field(ge=1, le=60)] = 10

    @property
    def night_hours(self) -> Hours | None:
        """The night; None where there is none."""
        return Hours.read(self.night)
