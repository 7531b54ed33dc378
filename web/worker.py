"""gunicorn's threads, but for one thing: a connection is closed where its request was answered."""

from __future__ import annotations

from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):
    """gunicorn 27 half-closes a connection and waits up to two seconds for the client to close its side, in the one
    thread that accepts and dispatches for all. A client that leaves it open, as many do by chance and some on
    purpose, would hold everybody up.
    """

    def handle(self, conn: Any) -> Any:
        """In a thread of the pool. What gunicorn closes afterwards is closed already."""
        again = super().handle(conn)
        if not again:
            conn.close(graceful=True)
            conn.close = _closed
        return again


def _closed(graceful: bool = False) -> None:
    pass
