import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.prompts import GREETING, SEGMENTS
from services.outbound.scripts.wording import BadGreeting, check_greeting, segments


def test_the_contracts_greeting_is_read_as_the_catalogue_says() -> None:
    assert segments(check_greeting(GREETING)) == {
        name: text for name, text in SEGMENTS.items() if name.startswith("greeting")
    }


# greeting, what is wrong with it
BAD = [
    ("您好，您是车主吗？", "plate"),  # no plate
    ("{plate}您好{plate}", "plate"),  # twice
    ("{plate}车主您好", "前后"),  # nothing before the plate
    ("您好，{plate}", "前后"),
    ("您好，{plate}。", "前后"),  # only punctuation after it
    ("您好{plate}车主{name}", "U+007B"),
    ("您好{plate}车主$(id)", "U+0024"),
    ("您好{plate}车主\n", "U+000A"),
    ("您好{plate}" + "车" * 200, "200"),
]


@pytest.mark.parametrize(("greeting", "message"), BAD)
def test_a_greeting_that_cannot_be_filed_says_why(greeting: str, message: str) -> None:
    with pytest.raises(BadGreeting, match=message.replace("+", r"\+")):
        check_greeting(greeting)


@given(st.text())
def test_any_text_is_refused_or_becomes_two_segments_without_an_expression(greeting: str) -> None:
    try:
        check_greeting(greeting)
    except BadGreeting:
        return
    spoken = "".join(segments(greeting).values())
    assert not set(spoken) & set("{}$[]()`\"'\\;&|<>0123456789")
