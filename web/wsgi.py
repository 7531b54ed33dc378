"""For gunicorn: `gunicorn web.wsgi:server --worker-class web.worker.Worker`."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

from web.app import create
from web.feed import close_streams

app = create()
server = app.server


def _end_streams_on(number: int) -> None:
    """An open page holds a stream for minutes: end it first, so that the worker need not be killed."""
    before = signal.getsignal(number)

    def handle(received: int, frame: FrameType | None) -> None:
        close_streams()
        if callable(before):
            before(received, frame)

    if callable(before):
        signal.signal(number, handle)


def _end_with(parent: int) -> None:
    """When gunicorn's master was killed its workers would keep the port for half a minute, deaf, and the next master
    could not have it: nothing here is worth that wait.
    """
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if threading.current_thread() is threading.main_thread():
    _end_streams_on(signal.SIGTERM)
    threading.Thread(target=_end_with, args=(os.getppid(),), name="master", daemon=True).start()
