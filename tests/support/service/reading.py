"""Requests for older lines."""

from __future__ import annotations

import json
from typing import Any, Protocol

import requests


class Served(Protocol):
    """A running service."""

    url: str


class Reading:
    """Requests for older lines of one container as one user."""

    def __init__(self, service: Served, path: str, cookie: str) -> None:
        self.url = f"{service.url}{path}"
        self.headers = {"Cookie": cookie}

    def get(self, **parameters: Any) -> requests.Response:
        """Return the whole answer."""
        return requests.get(self.url, parameters, headers=self.headers, timeout=100)

    def text(self, **parameters: Any) -> bytes:
        """Return the log as text."""
        answer = self.get(format="text", **parameters)
        assert answer.status_code == 200, answer.text
        return answer.content

    def records(self, **parameters: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the log messages, and the data of the final record."""
        answer = self.get(**parameters)
        assert answer.status_code == 200, answer.text
        *logs, end = map(json.loads, answer.content.splitlines())
        assert end["type"] == "end"
        return logs, end["data"]
