"""Who may ask, and what the browser may do: host check, same-origin writes, security headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Flask, Response, abort, request

from weir.settings import settings

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def policy(script_hashes: Sequence[str], tiles: str = "") -> str:
    """A content security policy under which nothing comes from outside, but tiles from `tiles` if it is set."""
    scripts = " ".join(["'self'", *script_hashes])
    images = f"'self' data: blob: {tiles}".strip()
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            f"img-src {images}",
            "font-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


def host_allowed(host: str, own: str) -> bool:
    """A page of another name that resolves to this machine (DNS rebinding) is refused."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in _LOOPBACK or name == own


def tiles_origin(url: str) -> str:
    """`https://tiles.example/{z}/{x}/{y}.png` -> `https://tiles.example`; subdomains by `*`."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].replace('{s}', '*')}" if rest else ""


def protect(server: Flask, script_hashes: Callable[[], Sequence[str]]) -> None:
    """Check each request and set the headers of each answer.

    The hashes are asked for anew with each page: Dash adds the inline script of its page switch at the first request.
    """
    config = settings()
    tiles = tiles_origin(config.tiles_url)
    plain = policy((), tiles)

    @server.before_request
    def check() -> None:
        if not host_allowed(request.host, config.host):
            abort(403)
        if request.method not in ("GET", "HEAD") and request.headers.get("Sec-Fetch-Site", "none") not in (
            "same-origin",
            "none",
        ):
            abort(403)

    @server.after_request
    def headers(response: Response) -> Response:
        page = response.mimetype == "text/html"
        response.headers["Content-Security-Policy"] = policy(script_hashes(), tiles) if page else plain
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Permissions-Policy"] = "geolocation=(), camera=(), microphone=()"
        return response
