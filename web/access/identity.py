"""Who makes the request that is being answered, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from flask import g, has_request_context

from weir.access import Role
from weir.errors import WeirError


class NotAllowed(WeirError, ValueError):
    """Only an operator may do this; the text is for the one who tried."""


@dataclass(frozen=True)
class Identity:
    """Someone who was let in. `how`: `account`, `link` (a one-time link), `token`, or `open` when sign-in is off.

    `key` is what their requests are counted under. It is also a user in the sense of Flask-Login.
    """

    name: str
    role: Role
    how: str
    key: str

    is_authenticated = True
    is_active = True
    is_anonymous = False

    def get_id(self) -> str:
        return f"{self.how}:{self.name}"

    @property
    def operates(self) -> bool:
        return self.role is Role.OPERATOR


def current() -> Identity | None:
    """None outside a request, and for what needs no sign-in."""
    found: Identity | None = g.get("identity") if has_request_context() else None
    return found


def acting(by: str) -> str:
    """The name under which what is done now is recorded; `by` is what its author calls themselves.

    An account or a token stands for itself, whatever is typed. A link does not say who opened it, so what is typed is
    marked, lest it pass for an account. Raises `NotAllowed` for all but operators. Outside a request it is `by`.
    """
    if not has_request_context():
        return by
    who = current()
    if who is None or not who.operates:
        name = f"{who.name} is a viewer, and viewers" if who else "who is not signed in"
        raise NotAllowed(f"{name} cannot acknowledge, shelve or comment: an operator can")
    if who.how == "open":
        return by
    return f"{by} (link)" if who.how == "link" else who.name
