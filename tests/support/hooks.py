"""Deliveries of webhooks, signed by the rules that each provider documents."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

PROVIDERS: Final = ("GitHub", "GitLab", "Gitea", "Forgejo")
ZEROS: Final = "0" * 40
COMMIT: Final = "6113728f27ae82c7b1a177c8d03f9e96e0adf246"


class Request(NamedTuple):
    """The headers and the body of one delivery."""

    headers: dict[str, str]
    body: bytes


def push(provider: str, branch: str = "main", default: str = "main", **more: Any) -> dict[str, Any]:
    """Return the payload of a push, as far as it counts, in the provider's form."""
    event: dict[str, Any] = {"ref": f"refs/heads/{branch}", "before": ZEROS, "after": COMMIT}
    if provider == "GitLab":
        event |= {"object_kind": "push", "project": {"default_branch": default}}
        # The old form of a repository, which GitLab still sends, has no default branch.
        event |= {"repository": {"name": "shop", "homepage": "https://gitlab.example/shop"}}
    else:
        event |= {"repository": {"default_branch": default, "full_name": "me/shop"}}
    return event | more


def delivery(
    provider: str,
    secret: str,
    payload: Any,
    *,
    event: str = "push",
    number: str = "1",
    form: bool = False,
) -> Request:
    """Return a delivery with the headers that the provider sends, signed with ``secret``."""
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    body = urlencode({"payload": text.decode()}).encode() if form else text
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    of_body = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    of_text = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    headers = {"Content-Type": kind}
    github = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": number,
        "X-Hub-Signature-256": "sha256=" + (of_body if provider == "GitHub" else of_text),
    }
    gitea = {"X-Gitea-Event": event, "X-Gitea-Delivery": number, "X-Gitea-Signature": of_text}
    forgejo = {
        "X-Forgejo-Event": event,
        "X-Forgejo-Delivery": number,
        "X-Forgejo-Signature": of_text,
    }
    names = {"push": "Push Hook", "tag_push": "Tag Push Hook"}
    gitlab = {
        "X-Gitlab-Token": secret,
        "X-Gitlab-Event": names.get(event, event),
        "X-Gitlab-Event-UUID": f"uuid-{number}",
        "Idempotency-Key": f"key-{number}",
    }
    # Gitea and Forgejo send the headers of those whose hooks they imitate, too.
    more = {
        "GitHub": github,
        "GitLab": gitlab,
        "Gitea": github | gitea,
        "Forgejo": github | gitea | forgejo,
    }
    return Request(headers | more[provider], body)
