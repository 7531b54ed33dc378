"""Who is signed in, as the frame of every page shows it."""

from __future__ import annotations

from typing import Any

from dash import html

from web.access.identity import current


def badge() -> Any:
    """A link to the account page, by whose name one sees who one is here, and whether one may act."""
    who = current()
    if who is None:
        return html.A("Account", href="/account", id="account", className="account")
    role = "sign-in is off" if who.how == "open" else str(who.role)
    return html.A(
        [html.Span(who.name, className="account-name"), html.Span(role, className="account-role")],
        href="/account",
        id="account",
        className="account",
        title=f"{who.name}, {role}: account and sign-out",
    )
