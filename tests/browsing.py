"""A browser without a window, for tests of what the web sends: cookies kept, redirects not followed."""

from __future__ import annotations

import http.client
import json
import time
import urllib.parse
from dataclasses import dataclass, field
from typing import Any

from deploy import access
from weir.settings import Settings


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Browser:
    """Asks the web of one installation; `token` goes along as a bearer's."""

    config: Settings
    token: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    @classmethod
    def signed_in(cls, config: Settings) -> Browser:
        """By a one-time link: an operator."""
        one = cls(config)
        assert one.get(path_of(access.link(config))).status == 303
        return one

    def get(self, path: str, **headers: str) -> Answer:
        """Asks again when the API says that it was too often."""
        while (answer := self.ask("GET", path, None, headers)).status == 429 and path.startswith("/api/v1"):
            time.sleep(int(answer.headers["Retry-After"]))
        return answer

    def form(self, path: str, **fields: str) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.ask("POST", path, urllib.parse.urlencode(fields).encode(), kind)

    def post(self, path: str, body: Any) -> Answer:
        return self.ask("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        sent = {"Origin": f"http://{self.config.host}:{self.config.web_port}", **headers}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection = http.client.HTTPConnection(self.config.host, self.config.web_port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            got = connection.getresponse()
            answer = Answer(got.status, got.headers, got.read())
        finally:
            connection.close()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer


def path_of(url: str) -> str:
    """The part of an address behind the server's name."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
