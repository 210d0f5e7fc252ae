"""Who is calling: the credential in the request, and the API keys in Kubernetes Secrets it is looked up in."""

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

from envoy.service.auth.v3.attribute_context_pb2 import AttributeContext

from host_sim.world.auth.rules import ApiKey, Credentials, Secret

KEY_ENTRY: Final = "api_key"
"""Entry of a Secret that holds the key."""

_NOT_FOUND: Final = "credential not found"
_INVALID: Final = "the API Key provided is invalid"


class Unauthenticated(Exception):
    """No identity. The text is the reason a caller is told."""


class CredentialLocation:
    """Where a credential stands in a request, and the challenge for one that has none (RFC 9110, 11.6.1)."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        header = credentials.authorization_header
        self._prefix = (header.prefix if header else "") or "Bearer"

    def challenge(self, realm: str) -> str:
        """Value of ``WWW-Authenticate``; the name of another place stands where the scheme would."""
        place = self._credentials.custom_header or self._credentials.cookie or self._credentials.query_string
        return f'{place.name if place else self._prefix} realm="{realm}"'

    def find(self, request: AttributeContext.HttpRequest) -> str:
        """The credential. Raises Unauthenticated if the request has none."""
        where = self._credentials
        found: str | None
        if where.custom_header:
            found = request.headers.get(where.custom_header.name.lower())
        elif where.cookie:
            found = _cookie(request.headers.get("cookie", ""), where.cookie.name)
        elif where.query_string:
            found = _parameter(request.path, where.query_string.name)
        else:
            header = request.headers.get("authorization", "")
            prefix = f"{self._prefix} "
            found = header.removeprefix(prefix) if header.startswith(prefix) else None
        if found is None:
            raise Unauthenticated(_NOT_FOUND)
        return found


class IdentitySource(Protocol):
    """One way to find an identity."""

    location: CredentialLocation

    def identify(self, request: AttributeContext.HttpRequest) -> dict[str, Any]:
        """The identity (JSON). Raises Unauthenticated."""


class AnonymousAccess:
    """Everyone is welcome, under the identity ``{"anonymous": true}``."""

    def __init__(self, credentials: Credentials) -> None:
        self.location = CredentialLocation(credentials)

    def identify(self, request: AttributeContext.HttpRequest) -> dict[str, Any]:
        return {"anonymous": True}


class ApiKeys:
    """The keys of the Secrets a rule selects. An identity is its Secret, as the Kubernetes API shows it.

    Keys are found by a keyed hash, so neither the look-up's time nor the memory tells them.
    """

    def __init__(self, rule: ApiKey, credentials: Credentials, secrets: Iterable[Secret], namespace: str) -> None:
        """Index those of *secrets* that *rule* selects; *namespace* is the AuthConfig's own."""
        self.location = CredentialLocation(credentials)
        self._salt = os.urandom(32)
        self._identities: dict[bytes, Mapping[str, Any]] = {}
        for secret in secrets:
            in_scope = rule.all_namespaces or secret.namespace == namespace
            key = secret.value(KEY_ENTRY)
            if key and in_scope and rule.selector.matches(secret.labels):
                self._identities[self._digest(key)] = secret.document()

    def identify(self, request: AttributeContext.HttpRequest) -> dict[str, Any]:
        credential = self.location.find(request)
        identity = self._identities.get(self._digest(credential.encode()))
        if identity is None:
            raise Unauthenticated(_INVALID)
        return dict(identity)

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._salt, key, hashlib.sha256)


def _cookie(header: str, name: str) -> str | None:
    for part in header.split(";"):
        cookie, separator, value = part.strip().partition("=")
        if separator and cookie == name:
            return value
    return None


def _parameter(path: str, name: str) -> str | None:
    """The first value of a query parameter; an empty one counts as absent."""
    try:
        values = parse_qs(urlsplit(path).query, keep_blank_values=True, max_num_fields=1000).get(name)
    except ValueError:
        return None
    return (values[0] or None) if values else None
