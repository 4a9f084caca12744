"""What is said on the wire to the provincial platform (A2): one request, one answer, nothing more.

    POST <registry URL>
    {"request_id": "…", "case_id": "…", "plate": "苏D10001", "color": "blue"}        color only when known

    200 application/json
    {"request_id": "…", "case_id": "…", "plate": "苏D10001",
     "vehicles": [{"color": "blue", "owner": "王建国", "phones": ["13905190001", "0519-81000001"]}]}

Colours are the codes of `plates.Color`; phones are in calling order; no vehicle means not found. A repeat of
a request has the same `request_id`, and only asks: it may be answered again. The answer repeats what was
asked, so that one meant for another case or car is recognised; any field not named here is refused.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from services.movecar.plates import Color
from services.movecar.registry.answers import MAX_OWNER, MAX_PHONES

Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
PlateText = Annotated[str, StringConstraints(min_length=1, max_length=32)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class LookupRequest(_Message):
    """A question about one car, for one case."""

    request_id: Id
    case_id: Id
    plate: PlateText
    color: Color | None = None


class VehicleAnswer(_Message):
    """A vehicle of the plate asked for."""

    color: Color
    owner: Annotated[str, StringConstraints(min_length=1, max_length=MAX_OWNER)]
    phones: Annotated[
        list[Annotated[str, StringConstraints(max_length=32)]], Field(max_length=MAX_PHONES, repr=False)
    ]


class LookupAnswer(_Message):
    """All vehicles of the plate asked for: none, or one a colour."""

    request_id: Id
    case_id: Id
    plate: PlateText
    vehicles: Annotated[list[VehicleAnswer], Field(max_length=len(Color))]
