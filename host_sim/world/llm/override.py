"""Responses a test dictates: the faults that a filter between client and model must stand.

With ``--allow-response-override`` a request may carry the header ``x-response-override``, a JSON object whose members
are the fields of :class:`ResponseOverride`. Examples::

    {"status": 503, "body": "upstream is down", "content_type": "text/plain"}
    {"usage": {"total_tokens": "12"}}            the usage of a real answer, as text
    {"omit_usage": true}
    {"chunk_size": 1}                            one byte at a time, chunked
    {"truncate_after": 400, "end": "reset"}      the connection breaks in the middle
    {"body_base64": "H4sI...", "headers": {"content-encoding": "gzip"}}

Without ``body`` the answer is generated as always and then changed, and the ledger enters the tokens that went out of
it. With ``body`` nothing is generated, and the ledger enters an overridden request without tokens.
"""

import base64
import binascii
import re
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from host_sim.world.llm.protocol import ApiError

HEADER: Final = "x-response-override"
_FIELD_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_BODILESS: Final = (204, 205, 304)
_MAX_DELAY: Final = 60.0


class ResponseOverride(BaseModel):
    """What of the response is dictated; a field left out changes nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Annotated[int, Field(ge=200, le=599)] | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}
    """Further headers."""
    body: str | None = None
    body_base64: str | None = None
    usage: Any = None
    """Any JSON; it stands where the usage stood."""
    omit_usage: bool = False
    """Leave the ``usage`` member out everywhere."""
    chunk_size: Annotated[int, Field(ge=1)] | None = None
    """Bytes of each HTTP chunk, across events; without it an event is a chunk, and a plain body has a length."""
    chunk_delay: Annotated[float, Field(ge=0, le=_MAX_DELAY)] = 0.0
    """Seconds between two chunks."""
    delay: Annotated[float, Field(ge=0, le=_MAX_DELAY)] = 0.0
    """Seconds before the response."""
    truncate_after: Annotated[int, Field(ge=0)] | None = None
    """Bytes of the body after which it ends."""
    end: Literal["clean", "reset"] = "clean"
    """How it ends: as if it were whole, or by breaking the connection."""

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
                raise ValueError(f"{name!r} and its value are no header (RFC 9110, 5.5)")
        return headers

    @field_validator("content_type")
    @classmethod
    def _check_content_type(cls, value: str | None) -> str | None:
        if value is not None and not _FIELD_VALUE.fullmatch(value):
            raise ValueError("not a header value (RFC 9110, 5.5)")
        return value

    @model_validator(mode="after")
    def _check_body(self) -> Self:
        if self.body is not None and self.body_base64 is not None:
            raise ValueError("body and body_base64 exclude each other")
        try:
            base64.b64decode(self.body_base64 or "", validate=True)
        except binascii.Error as error:
            raise ValueError(f"body_base64: {error}") from None
        if self.status in _BODILESS and (self.body or self.body_base64 or self.dictated_body is None):
            raise ValueError(f"status {self.status} has no body (RFC 9110, 6.4.1); give it an empty body")
        return self

    @property
    def dictated_body(self) -> bytes | None:
        """The whole body, if it is dictated."""
        if self.body_base64 is not None:
            return base64.b64decode(self.body_base64)
        return None if self.body is None else self.body.encode("utf-8", "replace")

    @property
    def falsifies_usage(self) -> bool:
        return self.omit_usage or "usage" in self.model_fields_set

    def usage_of(self, document: dict[str, Any]) -> dict[str, Any]:
        """*document* with its usage dictated or left out. A null usage, as in most events, stays."""
        if self.omit_usage:
            return {name: value for name, value in document.items() if name != "usage"}
        if "usage" in self.model_fields_set and document.get("usage") is not None:
            return document | {"usage": self.usage}
        return document


NOTHING: Final = ResponseOverride()


def parse_override(header: str) -> ResponseOverride:
    """Read the header.

    Raises ApiError 400 naming the field that is wrong.
    """
    try:
        return ResponseOverride.model_validate_json(header)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join([HEADER, *map(str, first["loc"])])
        raise ApiError(400, f"{where}: {first['msg']}") from None
