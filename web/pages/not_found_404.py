"""What an address shows that leads nowhere. Dash knows the page by this module's name."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from web.parts import heading


def layout(**query: str) -> Any:
    return html.Div(
        [
            heading("There is no such page", "The address may be mistyped, or of another version."),
            dcc.Link("Go to the map", href="/"),
        ],
        className="page",
    )
