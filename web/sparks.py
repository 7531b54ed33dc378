"""Sparklines: small SVG pictures without axes, as safe Dash images (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from dash import html

WIDTH, HEIGHT, PAD = 160, 36, 3


def path(values: Sequence[float | None], width: int = WIDTH, height: int = HEIGHT) -> str:
    """An SVG path through `values`, the first at the left edge; None breaks the line. A level series is a line."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    step = (width - 2 * PAD) / max(1, len(values) - 1)
    parts: list[str] = []
    pen = "M"
    for i, value in enumerate(values):
        if value is None:
            pen = "M"
            continue
        share = (value - low) / span if high > low else 0.5
        parts.append(f"{pen}{PAD + i * step:.1f} {height - PAD - share * (height - 2 * PAD):.1f}")
        pen = "L"
    return "".join(parts)


def spark(values: Sequence[float | None], about: str, colour: str = "#1c7ed6") -> html.Img:
    """A picture of `values`; `about` says in words what it shows."""
    line = f'fill="none" stroke="{colour}" stroke-width="1.8" vector-effect="non-scaling-stroke"'
    size = f'preserveAspectRatio="none" viewBox="0 0 {WIDTH} {HEIGHT}"'
    image = f'<svg xmlns="http://www.w3.org/2000/svg" {size}><path d="{path(values)}" {line}/></svg>'
    known = [value for value in values if value is not None]
    told = f"{about}: from {min(known):.4g} to {max(known):.4g}" if known else f"{about}: nothing yet"
    return html.Img(src="data:image/svg+xml," + quote(image), alt=told, title=told, className="spark")
