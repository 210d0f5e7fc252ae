"""The OpenAI API's documents: requests read, answers and errors shaped as llm-d-inference-sim v0.10 shapes them."""

import json
import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from host_sim.world.llm.config import SimulatorConfig

MAX_CHOICES: Final = 128
"""Bound on prompts times ``n`` of one request, since every choice costs an answer."""

JSON_TYPE: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"
DONE: Final = b"data: [DONE]\n\n"

_ERROR_TYPES: Final = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
# Go's encoder escapes these so that JSON can stand in HTML; in JSON they occur inside strings only.
_HTML_ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)


class ApiError(Exception):
    """A request that is answered with an error: HTTP *status* and the error document's *message* and *param*."""

    def __init__(self, status: int, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param

    def document(self) -> dict[str, Any]:
        kind = _ERROR_TYPES.get(self.status, "InternalServerError" if self.status >= 500 else "APIConnectionError")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.status}}


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: object) -> object:
        if isinstance(value, dict):
            return {name: member for name, member in value.items() if member is not None}
        return value


class ContentPart(_Document):
    """A part of a message's content; parts other than text and image count no tokens."""

    type: str
    text: str = ""
    image_url: dict[str, Any] | None = None


class Message(_Document):
    role: str = ""
    content: str | list[ContentPart] | None = None
    tool_call_id: str = ""

    def text(self) -> str:
        """The content as one text."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        parts = []
        for part in self.content:
            if part.type == "text":
                parts.append(part.text)
            elif part.type == "image_url" and part.image_url is not None:
                parts.append(f"image: {part.image_url.get('url', '')}")
        return "\n".join(parts)

    def prompt(self) -> str:
        """The message as the model's prompt shows it: a role line with the text."""
        call = f"({self.tool_call_id})" if self.tool_call_id else ""
        return f"### {self.role}{call}: {self.text()}\n"


class StreamOptions(_Document):
    include_usage: bool = False


class CompletionRequest(_Document):
    """What chat and text completions have in common."""

    model: str = ""
    n: int | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    ignore_eos: bool = False

    @property
    def limit(self) -> int | None:
        """The most tokens a choice may have."""
        return self.max_tokens

    @property
    def include_usage(self) -> bool:
        """Whether the answer carries its usage; a plain one always does."""
        return not self.stream or (self.stream_options is not None and self.stream_options.include_usage)


class ChatRequest(CompletionRequest):
    messages: list[Message] = []
    max_completion_tokens: int | None = None

    @property
    def limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


def _prompts(value: object) -> object:
    """One prompt, or token ids of one, as a list of prompts."""
    if isinstance(value, str) or (isinstance(value, list) and value and all(isinstance(item, int) for item in value)):
        return [value]
    return value


class TextRequest(CompletionRequest):
    prompt: Annotated[list[str | list[Annotated[int, Field(ge=0)]]], BeforeValidator(_prompts)] = []


_Request = TypeVar("_Request", bound=CompletionRequest)


def parse_request(kind: type[_Request], body: bytes) -> _Request:
    """Read a request body.

    Raises ApiError 400 if it is no JSON, not of this shape, or asks for what cannot be.
    """
    try:
        request = kind.model_validate(json.loads(body), strict=True)
    except json.JSONDecodeError as error:
        truncated = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        reason = "unexpected end of JSON input" if truncated else str(error)
        raise _unreadable(reason) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise _unreadable(f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _unreadable(str(error)) from None
    if request.n is not None and request.n <= 0:
        raise ApiError(400, "n must be at least 1")
    if request.limit is not None and request.limit <= 0:
        raise ApiError(400, "Max completion tokens and max tokens should be positive")
    if request.ignore_eos and request.limit is None:
        raise ApiError(400, "Ignore_eos is true but max_completion_tokens (or max_tokens) is not set")
    if isinstance(request, TextRequest):
        _check_prompts(request)
    prompts = len(request.prompt) if isinstance(request, TextRequest) else 1
    if prompts * (request.n or 1) > MAX_CHOICES:
        raise ApiError(400, f"at most {MAX_CHOICES} choices in one request")
    return request


def _check_prompts(request: TextRequest) -> None:
    if not request.prompt:
        raise ApiError(400, "prompt array must contain at least one prompt")
    for prompt in request.prompt:
        if not prompt:
            kind = "string" if isinstance(prompt, str) else "token-id array"
            raise ApiError(400, f"prompt must not contain an empty {kind}")


def _unreadable(reason: str) -> ApiError:
    return ApiError(400, f"Failed to read and parse request body, {reason}")


class Usage(BaseModel):
    """Tokens of one answer."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def document(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }


class Choice(BaseModel):
    """One generated text, in tokens."""

    index: int
    tokens: list[str]
    finish_reason: Literal["stop", "length"]

    @property
    def text(self) -> str:
        return "".join(self.tokens)


class Shape:
    """The documents of one answer: its id, time and model, as a chat or a text completion, plain or in events."""

    def __init__(self, request: CompletionRequest, model: str, request_id: str) -> None:
        self._chat = isinstance(request, ChatRequest)
        self._id = f"chatcmpl-{request_id}" if self._chat else f"cmpl-{request_id}-0"
        self._model = model
        self._created = int(time.time())

    def plain(self, choices: Iterable[Choice], usage: Any) -> dict[str, Any]:
        """The whole answer."""
        return self._document(
            "chat.completion" if self._chat else "text_completion",
            usage,
            [self._choice(choice.index, choice.finish_reason, choice.text) for choice in choices],
        )

    def role_event(self, index: int) -> dict[str, Any] | None:
        """The event before a choice's tokens; text completions have none."""
        return self._event([self._delta(index, None, {"role": "assistant"})]) if self._chat else None

    def token_event(self, index: int, token: str) -> dict[str, Any]:
        if self._chat:
            return self._event([self._delta(index, None, {"content": token})])
        return self._event([self._choice(index, None, token)])

    def finish_event(self, choice: Choice) -> dict[str, Any]:
        if self._chat:
            return self._event([self._delta(choice.index, choice.finish_reason, {})])
        return self._event([self._choice(choice.index, choice.finish_reason, "")])

    def usage_event(self, usage: Any) -> dict[str, Any]:
        """The event behind all choices of a stream that was asked for its usage."""
        return self._event([], usage)

    def _event(self, choices: list[dict[str, Any]], usage: Any = None) -> dict[str, Any]:
        return self._document("chat.completion.chunk" if self._chat else "text_completion", usage, choices)

    def _document(self, kind: str, usage: Any, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "model": self._model,
            "object": kind,
            "created": self._created,
            "usage": usage,
            "choices": choices,
        }

    def _choice(self, index: int, finish_reason: str | None, text: str) -> dict[str, Any]:
        choice: dict[str, Any] = {"index": index, "finish_reason": finish_reason}
        if self._chat:
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice["text"] = text
        return choice

    @staticmethod
    def _delta(index: int, finish_reason: str | None, delta: Mapping[str, str]) -> dict[str, Any]:
        return {"index": index, "finish_reason": finish_reason, "delta": dict(delta)}


def models_document(config: SimulatorConfig, started: int) -> dict[str, Any]:
    """``GET /v1/models``; *started* is in seconds since the epoch."""

    def model(name: str, root: str, parent: str | None) -> dict[str, Any]:
        return {
            "id": name,
            "object": "model",
            "created": started,
            "owned_by": "vllm",
            "root": root,
            "parent": parent,
            "max_model_len": config.max_model_len,
        }

    bases = [model(name, config.model, None) for name in config.names]
    return {"object": "list", "data": bases + [model(name, name, config.names[0]) for name in config.lora]}


def encode(document: object) -> bytes:
    """Compact JSON as Go writes it: UTF-8, with ``<``, ``>`` and ``&`` escaped."""
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_HTML_ESCAPES).encode("utf-8", "replace")


def encode_event(document: object) -> bytes:
    """A server-sent event (WHATWG HTML, 9.2) that carries *document*."""
    return b"data: " + encode(document) + b"\n\n"
