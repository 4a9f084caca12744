"""What is promised of a call (B5), and whether it was kept. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from services.common.events import AttemptOutcome
from tests.reliability.owners import ANSWERED, conclusion_of


@dataclass(frozen=True)
class AttemptSeen:
    """An attempt as the database has it in the end."""

    id: str
    outcome: AttemptOutcome | None
    dialed: bool


@dataclass(frozen=True)
class Story:
    """One contact with one owner, from all sides, when everything has calmed down.

    `conclusions`: outcomes of the `ContactConcluded` that were told. `invites`, `answers`: calls that reached
    the owner on the wire, and those that the owner answered. `most`: attempts the redial rules allow.
    """

    number: str
    played: AttemptOutcome
    attempts: Sequence[AttemptSeen]
    conclusions: Sequence[str]
    invites: int
    answers: int
    most: int = 1
    switch_died: bool = False


@dataclass
class Verdict:
    """Promises that were broken, in words; and what is no promise but counted."""

    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unknown: int = 0
    """Contacts that end in a person's hands, as nobody can know."""
    never_rang: int = 0
    """Of them, those whose owner was provably not rung."""
    known: int = 0
    """Contacts that ended in what the owner played."""

    @property
    def broken(self) -> list[str]:
        """Every broken promise."""
        return [*self.doubled, *self.lost, *self.wrong]

    def add(self, other: "Verdict") -> None:
        """Sum up."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def judge(story: Story) -> Verdict:
    """Judge one contact."""
    verdict = Verdict()
    who = f"{story.played} {story.number}"
    dialed = [attempt for attempt in story.attempts if attempt.dialed]
    outcomes = [attempt.outcome for attempt in story.attempts]
    if story.invites > len(dialed):
        verdict.doubled.append(f"{who}: {story.invites} calls on the wire for {len(dialed)} attempts")
    if len(story.attempts) > story.most:
        verdict.doubled.append(f"{who}: {len(story.attempts)} attempts, {story.most} allowed")
    if "unknown" in outcomes[:-1]:
        verdict.doubled.append(f"{who}: dialled again after an unknown outcome")
    if not story.conclusions or None in outcomes or not outcomes:
        verdict.lost.append(f"{who}: attempts {outcomes}, concluded {list(story.conclusions)}")
        return verdict
    if len(story.conclusions) > 1:
        verdict.wrong.append(f"{who}: concluded {list(story.conclusions)}")
    false = [outcome for outcome in outcomes if outcome not in {story.played, "unknown"}]
    if false:
        verdict.wrong.append(f"{who}: the outcome was told as {false}")
    if story.conclusions[0] == "unknown":
        verdict.unknown = 1
        verdict.never_rang = int(story.invites == 0)
        if story.answers and story.played in ANSWERED and not story.switch_died:
            verdict.wrong.append(f"{who}: the owner was spoken to, and it is told as unknown")
    elif story.conclusions[0] == conclusion_of(story.played):
        verdict.known = 1
        if not story.invites:
            verdict.wrong.append(f"{who}: concluded {story.conclusions[0]} and nobody was rung")
    elif not false:
        verdict.wrong.append(f"{who}: attempts {outcomes}, concluded {story.conclusions[0]}")
    return verdict
