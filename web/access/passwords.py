"""Is it their password? Slow on purpose, so seldom, and never many at once."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from web.access import books
from weir.access import MAX_PASSWORD, Account

#: Each takes 64 MiB while it is worked out.
AT_ONCE = 2
_hasher = PasswordHasher()
_slots = threading.BoundedSemaphore(AT_ONCE)
#: Of nobody: an unknown name takes as long as a wrong password. Made at first use: it takes as long, too.
_nobody = ""


def check(name: str, password: str) -> Account | None:
    """The account, if there is one and this is its password."""
    global _nobody
    account = books.accounts().get(name)
    with _slots:
        if not _nobody:
            _nobody = _hasher.hash("nobody")
        try:
            _hasher.verify(account.hash if account else _nobody, password[:MAX_PASSWORD])
        except (Argon2Error, InvalidHashError):
            return None
    return account if len(password) <= MAX_PASSWORD else None
