"""`users.json` and `tokens.json` as the web reads them: again whenever they change."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from weir.access import Account, Accounts, Token, Tokens
from weir.settings import settings

log = logging.getLogger("weir.web")
T = TypeVar("T")
#: What tells one content of a file from another: modified (ns), size, inode.
Seal = tuple[int, int, int] | None


class Book(Generic[T]):
    """Entries of a file by their name. A look costs one `stat`; a file that cannot be read opens nothing new.

    `version` changes with each content.
    """

    def __init__(self, path: Path, read: Callable[[bytes], dict[str, T]]) -> None:
        self._path, self._read = path, read
        self._lock = threading.Lock()
        self._seal: Seal = (0, 0, 0)
        self._entries: dict[str, T] = {}
        self.version = 0

    def entries(self) -> dict[str, T]:
        """All of them, as the file says now; empty while there is no file."""
        seal = self._look()
        if seal != self._seal:
            with self._lock:
                if seal != self._seal:
                    self._load(seal)
        return self._entries

    def _look(self) -> Seal:
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _load(self, seal: Seal) -> None:
        try:
            self._entries = self._read(self._path.read_bytes()) if seal else {}
        except (OSError, msgspec.DecodeError) as error:
            log.error("%s cannot be read (%s): nobody in it may enter", self._path.name, error)
            self._entries = {}
        self.version += 1
        self._seal = seal


def _accounts(data: bytes) -> dict[str, Account]:
    return {one.name: one for one in msgspec.json.decode(data, type=Accounts).users}


def _tokens(data: bytes) -> dict[str, Token]:
    return {one.id: one for one in msgspec.json.decode(data, type=Tokens).tokens}


_books: tuple[Book[Account], Book[Token]] | None = None
_making = threading.Lock()


def _both() -> tuple[Book[Account], Book[Token]]:
    global _books
    with _making:
        if _books is None:
            config = settings()
            _books = Book(config.users_file, _accounts), Book(config.tokens_file, _tokens)
    return _books


def accounts() -> dict[str, Account]:
    """The people who may sign in, by name."""
    return _both()[0].entries()


def tokens() -> dict[str, Token]:
    """The tokens of programs, by id."""
    return _both()[1].entries()
