"""Errors as problem details for HTTP APIs (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response

from weir.errors import WeirError
from weir.readings import encode


class Wrong(WeirError):
    """The request cannot be served as it is; `parameter` names what is wrong in it, if it is one thing."""

    def __init__(self, detail: str, parameter: str = "", status: int = 400, wait: float = 0.0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.parameter = parameter
        self.status = status
        self.wait = wait


def problem(status: int, title: str, detail: str, **more: Any) -> Response:
    """An `application/problem+json` answer; members beyond the standard's by `more`."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(encode(body), status, mimetype="application/problem+json", headers={"Cache-Control": "no-store"})


def of(error: Wrong) -> Response:
    """The answer that tells of `error`."""
    more = {"parameter": error.parameter} if error.parameter else {}
    answer = problem(error.status, HTTPStatus(error.status).phrase, error.detail, **more)
    if error.wait:
        answer.headers["Retry-After"] = str(int(error.wait) + 1)
    return answer
