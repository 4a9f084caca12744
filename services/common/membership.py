"""One of many: the condition that a column has one of the values of a list, whatever the list's length."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Boolean, ColumnElement, LargeBinary, Text, any_, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_AT_A_TIME = 500


class _Among(FunctionElement[bool]):
    inherit_cache = True
    type = Boolean()


def among(column: Any, name: str) -> ColumnElement[bool]:
    """Return the condition that a text or binary column is one of the values given as parameter `name`.

    With an IN list PostgreSQL plans a statement anew for every length of it, and SQLAlchemy writes it anew
    every time. There the list is one array here, and the statement one text. (TEXT: the driver would have to
    ask, on each connection, for what an array of VARCHAR is.)
    """
    kind = column.type if isinstance(column.type, LargeBinary) else Text()
    return _Among(column, bindparam(name, type_=postgresql.ARRAY(kind)))


def shares(values: Iterable[str]) -> list[list[str]]:
    """Cut values, in order, into lists that one statement takes: SQLite has room for so many parameters."""
    ordered = sorted(values)
    return [ordered[first : first + _AT_A_TIME] for first in range(0, len(ordered), _AT_A_TIME)]


@compiles(_Among, "postgresql")
def _as_array(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    return compiler.process(column == any_(values), **options)


@compiles(_Among, "sqlite")
def _as_list(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = element.clauses
    listed: Any = bindparam(values.key, expanding=True, type_=column.type)
    return compiler.process(column.in_(listed), **options)
