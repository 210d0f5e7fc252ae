"""The traffic of Kuadrant's token metrics guide: its users, and its function `call_llm`."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import httpx

from host_sim.kuadrant import Translation
from host_sim.kuadrant.objects import Secret

REQUESTS_PER_USER: Final = 30
CHAT_PATH: Final = "/v1/chat/completions"
CHAT: Final[dict[str, Any]] = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "messages": [{"role": "user", "content": "What is Kubernetes?"}],
    "max_tokens": 100,
    "stream": False,
    "stream_options": {"include_usage": True},
}
"""The body that the guide's `call_llm` sends."""

_USER_ID: Final = "kuadrant.io/user-id"
_GROUPS: Final = "kuadrant.io/groups"
_TIMEOUT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class User:
    """One API key and whom the guide's AuthPolicy makes of it."""

    name: str
    groups: str
    api_key: str = field(repr=False)

    def labels(self) -> dict[str, str]:
        """The labels by which the guide's TelemetryPolicy tells users apart."""
        return {"user": self.name, "group": self.groups}


def users(translation: Translation) -> list[User]:
    """The users of the manifests' API keys: Secrets with an `api_key` and the annotations the AuthPolicy reads."""
    found = [_user(secret) for secret in translation.secrets]
    return [user for user in found if user is not None]


def _user(secret: Secret) -> User | None:
    key = secret.values().get("api_key")
    annotations = secret.metadata.annotations
    if key is None or _USER_ID not in annotations:
        return None
    return User(annotations[_USER_ID], annotations.get(_GROUPS, ""), key.decode("utf-8", "replace"))


@dataclass(frozen=True)
class Exchange:
    """One request and what came back. Times are `time.monotonic()` seconds."""

    streamed: bool
    status: int
    tokens: int
    """`usage.total_tokens` as the client saw it; 0 without usage."""
    sent_at: float
    ended_at: float

    @property
    def answered(self) -> bool:
        return self.status == HTTPStatus.OK

    @property
    def limited(self) -> bool:
        return self.status == HTTPStatus.TOO_MANY_REQUESTS


async def call_llm(client: httpx.AsyncClient, url: str, host: str, user: User, *, streamed: bool = False) -> Exchange:
    """Send the guide's chat completion as `user`.

    Args:
        url: the gateway, `http://ADDRESS:PORT`.
        host: the host name of the LLM service.

    Raises `httpx.HTTPError` if no response comes, or only a part of one.
    """
    sent_at = time.monotonic()
    response = await client.post(
        url + CHAT_PATH,
        headers={"Host": f"{host}:{httpx.URL(url).port}", "Authorization": f"APIKEY {user.api_key}"},
        json={**CHAT, "stream": streamed},
        timeout=_TIMEOUT_SECONDS,
    )
    ended_at = time.monotonic()
    tokens = _tokens(response) if response.status_code == HTTPStatus.OK else 0
    return Exchange(streamed, response.status_code, tokens, sent_at, ended_at)


def _tokens(response: httpx.Response) -> int:
    """The last `usage.total_tokens` of a completion, plain or streamed."""
    documents = [response.text]
    if response.headers.get("content-type", "").startswith("text/event-stream"):
        events = [line.removeprefix("data:").strip() for line in response.text.splitlines() if line.startswith("data:")]
        documents = [event for event in events if event != "[DONE]"]
    usages = [json.loads(document).get("usage") for document in documents]
    return next((int(usage["total_tokens"]) for usage in reversed(usages) if usage), 0)
