"""The demo's accounts: one password for all, shown to whoever starts the demo."""

import secrets

from sqlalchemy import update

from services.common.clock import Clock
from services.common.database import Database, insert_ignoring_duplicates
from services.common.http.auth import Role
from services.common.ids import new_id
from services.movecar.people.models import Account
from services.movecar.people.passwords import Passwords

ACCOUNTS: tuple[tuple[str, str, Role], ...] = (
    ("op1", "坐席一号", "operator"),
    ("op2", "坐席二号", "operator"),
    ("sup1", "值班班长", "supervisor"),
    ("desk1", "110接警台", "desk"),
    ("aud1", "甲方审计", "auditor"),
    ("adm1", "管理员甲", "admin"),
    ("adm2", "管理员乙", "admin"),
)


def random_password() -> str:
    """Return a password for one run of the demo."""
    return secrets.token_urlsafe(9)


async def make_demo_accounts(database: Database, passwords: Passwords, clock: Clock, password: str) -> None:
    """Make the demo accounts, or give the existing ones this password."""
    stored = await passwords.hash(password)
    async with database.transaction() as session:
        for username, name, role in ACCOUNTS:
            await session.execute(
                insert_ignoring_duplicates(
                    session,
                    Account.__table__,  # type: ignore[arg-type]
                    {
                        "id": new_id(),
                        "username": username,
                        "name": name,
                        "role": role,
                        "password_hash": stored,
                        "created_at": clock.now(),
                    },
                )
            )
            await session.execute(
                update(Account).where(Account.username == username).values(password_hash=stored)
            )
