"""What the documents say of the code is true: paths, links, settings, states, events, metrics, formats."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr
from typer.main import get_command

from services.__main__ import app  # imports every module, and with them every metric
from services.common.events import ALL
from services.common.settings import PREFIX, Settings
from services.escalation import machine as escalations
from services.escalation.faults import machine as faults
from services.escalation.faults.parts import PARTS
from services.movecar.cases import machine as cases
from services.movecar.registry.answers import Outage
from services.movecar.registry.csv_rows import HEADER, RowFault
from services.movecar.registry.wire import LookupAnswer, LookupRequest
from services.outbound import attempts
from services.outbound.calls import CAUSE_OUTCOMES

ROOT = Path(__file__).parents[3]
_HIDDEN = {".venv", ".git", "var", "node_modules"}
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.md")
    if _HIDDEN.isdisjoint(path.relative_to(ROOT).parts[:1])
    and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)
READMES = ["README.md", "README.zh-CN.md"]
DECISIONS = [name for name in DOCUMENTS if name.startswith("docs/adr/")]
MAP = "docs/architecture.md"

# Words with a slash that name no file of the repository.
_NO_PATHS = re.compile(r"(application|text|audio)/|var/|cdr-custom/|registry/registry-|/|https?:")
_PATH = re.compile(r"\.?[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)*/?")
_FILE = re.compile(r"[A-Za-z0-9_.-]+\.(?:py|md|toml|txt|ini)|Makefile")


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def prose(name: str) -> str:
    """The document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read(name), flags=re.MULTILINE | re.DOTALL)


def paths_named_in(name: str) -> set[str]:
    words = re.findall(r"`([^`\n]+)`", prose(name))
    named = {word for word in words if "/" in word or _FILE.fullmatch(word)}
    return {word for word in named if _PATH.fullmatch(word) and not _NO_PATHS.match(word)}


def section(name: str, heading: str) -> str:
    """The text below a heading, up to the next one of the same or a higher level."""
    found = re.search(rf"^(#+) {re.escape(heading)}$", read(name), re.MULTILINE)
    assert found, f"{name} has no heading {heading!r}"
    rest = read(name)[found.end() :]
    return re.split(rf"^#{{1,{len(found[1])}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> Iterator[list[str]]:
    """Cells of the rows of every table in a text, headers and rules left out."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if (
            line.startswith("|")
            and not re.match(r"\|[-|]+\|$", line)
            and not re.match(r"\|[-|]+\|$", following)
        ):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def first_codes(text: str) -> list[str]:
    """The words in backticks of every row's first cell."""
    return [code for row in rows(text) for code in re.findall(r"`([^`]+)`", row[0])]


def anchors(name: str) -> set[str]:
    """The anchors of a document's headings, as the usual hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(name), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


def diagram(heading: str) -> dict[tuple[str, str], str]:
    """(state, trigger) → state of the state diagram below a heading of the architecture."""
    drawn: dict[tuple[str, str], str] = {}
    for line in section(MAP, heading).splitlines():
        found = re.fullmatch(r" +(\w+) --> (\w+): ([\w, ]+)", line)
        if found:
            drawn |= {(found[1], trigger): found[2] for trigger in found[3].split(", ")}
    return drawn


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_path_that_a_document_names_exists(name: str) -> None:
    missing = sorted(path for path in paths_named_in(name) if not (ROOT / path).exists())
    assert missing == []


def test_the_package_map_has_every_module() -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for top in ("services", "deploy")
        for path in (ROOT / top).rglob("*.py")
        if path.name != "__init__.py" and "__pycache__" not in path.parts
    }
    assert sorted(modules - paths_named_in(MAP)) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / name).parent / path if path else ROOT / name
        known = linked.suffix == ".md" and linked.exists()
        if not linked.exists() or (anchor and known and anchor not in anchors(str(linked.relative_to(ROOT)))):
            broken.append(target)
    assert broken == []


def shown(value: Any) -> str:
    """A default as the English README writes it."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "none"
    if value in ("", ()):
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if hasattr(value, "model_dump"):
        return f"`{json.dumps(_whole(value.model_dump()), separators=(',', ':'))}`"
    return f"`{value}`"


def _whole(value: Any) -> Any:
    """The value with every number that is a whole one written as such."""
    match value:
        case dict():
            return {name: _whole(each) for name, each in value.items()}
        case list():
            return [_whole(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value


@pytest.mark.parametrize(("name", "heading"), [("README.md", "Settings"), ("README.zh-CN.md", "设置")])
def test_the_readme_lists_exactly_the_settings_with_their_defaults(name: str, heading: str) -> None:
    chinese = {"空": "empty", "无": "none"}
    listed = {row[0]: chinese.get(row[1], row[1]) for row in rows(section(name, heading))}
    known = {
        f"`{PREFIX}{field.upper()}`": shown(info.default) for field, info in Settings.model_fields.items()
    }
    assert listed == known


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("Cases", cases.TRANSITIONS),
        ("Attempts", attempts.TRANSITIONS),
        ("Escalations", escalations.TRANSITIONS),
        ("Faults", faults.FAULTS),
        ("Duties", faults.DUTIES),
        ("Deliveries", faults.DELIVERIES),
    ],
)
def test_a_state_diagram_draws_exactly_the_transitions_of_the_code(
    heading: str, table: Mapping[tuple[str, str], str]
) -> None:
    assert diagram(heading) == {(state, str(trigger)): target for (state, trigger), target in table.items()}


def test_the_table_of_events_has_every_event_and_who_consumes_it() -> None:
    listed = {row[0].strip("`"): row[2] for row in rows(section(MAP, "Events"))}
    assert listed == {name: ", ".join(event.CONSUMERS) or "–" for name, event in ALL.items()}


def test_the_table_of_watched_parts_has_every_part_and_whether_the_desk_is_told() -> None:
    listed: dict[str, bool] = {}
    for row in rows(section("docs/operations.md", "What is watched")):
        names, told = re.findall("`([a-z_]+)`", row[0]), row[3].split("; ")
        listed |= {name: told[min(at, len(told) - 1)] == "yes" for at, name in enumerate(names)}
    assert listed == {name: part.downtime for name, part in PARTS.items()}


def test_the_two_readmes_have_the_same_shape_and_commands() -> None:
    shapes = [re.findall(r"^#+(?= )", prose(name), re.MULTILINE) for name in READMES]
    commands = [re.findall(r"^```.*?^```$", read(name), re.MULTILINE | re.DOTALL) for name in READMES]
    links = [sorted(re.findall(r"\]\((docs/[^)]+)\)", read(name))) for name in READMES]
    tables = [[len(row) for row in rows(read(name))] for name in READMES]
    for english, chinese in (shapes, commands, links, tables):
        assert english == chinese


@pytest.mark.parametrize("name", READMES)
def test_a_newcomer_needs_exactly_two_commands(name: str) -> None:
    first = re.search(r"^```sh\n(.*?)^```$", read(name), re.MULTILINE | re.DOTALL)
    assert first is not None
    assert first[1].split("\n") == ["make run", "make test", ""]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(Path(name).name[:4]) for name in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_says_why_and_what_else_there_was(name: str) -> None:
    assert re.match(rf"# {int(Path(name).name[:4])}\. ", read(name))
    headings = re.findall(r"^## (.+)$", read(name), re.MULTILINE)
    assert headings == ["Context", "Decision", "Consequences", "Alternatives"]


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "docs/requirements.md"])
def test_every_requirement_that_is_cited_is_explained(name: str) -> None:
    known = {row[0] for row in rows(read("docs/requirements.md"))}
    cited = set(re.findall(r"(?<![\w-])[A-H][1-9](?![\w-])", prose(name)))
    assert cited <= known


def test_the_runbook_lists_exactly_the_metrics_there_are() -> None:
    counters = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in REGISTRY.collect()
        if metric.name.startswith("movecar_")
    }
    assert set(first_codes(section("docs/operations.md", "Metrics"))) == counters


def test_every_log_event_in_the_runbook_is_logged_somewhere() -> None:
    code = "\n".join(path.read_text("utf-8") for path in (ROOT / "services").rglob("*.py"))
    tables = section("docs/operations.md", "Logs").partition("| event | level |")[2]
    events = first_codes("| event | level |" + tables)
    assert events
    assert [event for event in events if f'"{event}"' not in code] == []


def test_the_runbook_lists_exactly_the_commands_there_are() -> None:
    block = re.search(
        r"^```\n(.*?)^```$", section("docs/operations.md", "Commands"), re.MULTILINE | re.DOTALL
    )
    assert block is not None
    usages = [re.split(" {2,}", line)[0].split()[3:] for line in block[1].splitlines()]
    documented = [" ".join(word for word in usage if re.fullmatch("[a-z-]+", word)) for usage in usages]
    assert sorted(documented) == sorted(["", *(" ".join(path) for path in _commands(get_command(app)))])


def _commands(group: Any) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((name, *rest) for rest in _commands(command))
        else:
            yield (name,)


def test_the_table_of_outcomes_is_that_of_the_code() -> None:
    table = {
        int(row[0]): row[2].strip("`")
        for row in rows(section("docs/telephony.md", "Outcomes"))
        if row[0].isdigit()
    }
    assert table == CAUSE_OUTCOMES


def test_the_registrys_codes_are_all_explained() -> None:
    faults = first_codes(section("docs/registry.md", "CSV file").partition("| fault |")[2])
    outages = first_codes(section("docs/registry.md", "When there is no answer"))
    assert faults == [str(fault) for fault in RowFault]
    assert outages == [str(outage) for outage in Outage]


def test_the_registrys_examples_are_what_the_code_accepts() -> None:
    request, answer = re.findall(r"^```json\n(.*?)^```$", read("docs/registry.md"), re.MULTILINE | re.DOTALL)
    LookupRequest.model_validate_json(request)
    LookupAnswer.model_validate_json(answer)
    example = re.search(r"^```csv\n(.*?)$", read("docs/registry.md"), re.MULTILINE)
    assert example is not None
    assert tuple(example[1].split(",")) == HEADER
