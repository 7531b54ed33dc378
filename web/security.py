"""Who may ask, and what the browser may do: host check, same-origin writes, security headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Flask, Response, abort, request

from web.api import cors
from weir.settings import settings

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


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


def host_allowed(host: str, own: str, public: str = "") -> bool:
    """A page of another name that resolves to this machine (DNS rebinding) is refused.

    `own` is the address listened on, `public` the name, with its port, that a proxy in front goes by.
    """
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name in LOOPBACK or name == own or (bool(public) and host == public)


def write_allowed(origin: str | None, site: str | None, own: str, bearer: bool) -> bool:
    """May a request that changes something go on? Only if it comes from a page of `own` (`http://127.0.0.1:8050`).

    `origin` and `site` are its Origin and Sec-Fetch-Site. Browsers send one of them at least; what sends neither has
    to show that it is no browser by a token in a header, which no page of others can add.
    """
    if origin is None and site is None:
        return bearer
    return origin in (None, own) and site in (None, "same-origin", "none")


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
        if not host_allowed(request.host, config.host, config.web_name):
            abort(403, "This is not a name of this server: a proxy's name belongs in WEIR_WEB_NAME.")
        if request.method not in ("GET", "HEAD", "OPTIONS"):
            told, bearer = request.headers, request.headers.get("Authorization", "").lower().startswith("bearer ")
            own = f"{'https' if config.web_tls else 'http'}://{request.host}"
            front_end = bearer and cors.allowed(told.get("Origin")) and request.path.startswith(f"{cors.BASE}/")
            if not front_end and not write_allowed(told.get("Origin"), told.get("Sec-Fetch-Site"), own, bearer):
                abort(403, "This request does not come from a page of this server.")

    @server.after_request
    def headers(response: Response) -> Response:
        page = response.mimetype == "text/html"
        response.headers["Content-Security-Policy"] = policy(script_hashes(), tiles) if page else plain
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["X-Frame-Options"] = "DENY"
        response.headers["Permissions-Policy"] = "geolocation=(), camera=(), microphone=()"
        if "Cache-Control" not in response.headers:
            response.headers["Cache-Control"] = "no-store"
        if config.web_tls:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response
