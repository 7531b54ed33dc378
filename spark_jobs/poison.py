"""Finds the rows that Postgres will never take, by halving, inside one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from psycopg2.extensions import cursor as Cursor

from spark_jobs.database import is_poison

log = logging.getLogger("weir.spark")
T = TypeVar("T")
R = TypeVar("R")


def bisect(
    cursor: Cursor, items: list[T], attempt: Callable[[list[T]], R]
) -> tuple[list[R], list[tuple[T, Exception]]]:
    """Call `attempt` on `items`; when Postgres refuses a row in them, on ever smaller halves.

    Returns what the calls that succeeded gave, in order, and the single items that cannot be stored, with the reason.
    Nothing is half done: each failed call is rolled back to its savepoint. Raises what is not a row's fault.
    """
    if not items:
        return [], []
    cursor.execute("SAVEPOINT piece")
    try:
        done = attempt(items)
    except Exception as error:
        if not is_poison(error):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT piece")
        cursor.execute("RELEASE SAVEPOINT piece")
        if len(items) == 1:
            log.warning("Postgres refuses a row, which becomes a dead letter: %s", str(error).split("\n")[0][:200])
            return [], [(items[0], error)]
    else:
        cursor.execute("RELEASE SAVEPOINT piece")
        return [done], []
    middle = len(items) // 2
    first, second = bisect(cursor, items[:middle], attempt), bisect(cursor, items[middle:], attempt)
    return first[0] + second[0], first[1] + second[1]
