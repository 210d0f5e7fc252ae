"""What of an AuthPolicy's rules, and of Kubernetes Secrets, the service consumes.

Source: Kuadrant's ``AuthPolicy`` v1 ``spec.rules`` and Authorino's ``AuthConfig`` v1beta3 ``spec``, which share their
shape but for one name: ``response.success.filters`` there is ``response.success.dynamicMetadata`` here. Methods that
need another server (JWT, token review, SpiceDB and so on) are refused rather than passed over.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

KUADRANT_NAMESPACE: Final = "kuadrant-system"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ValueOrSelector(_Model):
    """A value: static, selected from the authorization JSON, or computed from it by a CEL expression."""

    value: Any = None
    selector: str = ""
    expression: str = ""


class Pattern(_Model):
    """A condition: one comparison, one CEL predicate, a named set of patterns, or all or any of several."""

    selector: str = ""
    operator: Literal["eq", "neq", "incl", "excl", "matches"] | None = None
    value: str = ""
    predicate: str = ""
    pattern_ref: str = ""
    all_: Annotated[list["Pattern"] | None, Field(alias="all")] = None
    any_: Annotated[list["Pattern"] | None, Field(alias="any")] = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = (self.operator is not None, bool(self.predicate), bool(self.pattern_ref), self.all_ is not None,
                 self.any_ is not None)  # fmt: skip
        if sum(kinds) != 1:
            raise ValueError("a pattern has exactly one of operator, predicate, patternRef, all and any")
        return self


class _Evaluator(_Model):
    """What all rules have in common. ``metrics`` and ``cache`` are accepted: nothing here is fetched from afar."""

    priority: int = 0
    when: list[Pattern] = []
    metrics: bool = False
    cache: dict[str, Any] | None = None


class LabelRequirement(_Model):
    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.operator == "In":
            return labels.get(self.key) in self.values
        if self.operator == "NotIn":
            return labels.get(self.key) not in self.values
        return (self.key in labels) == (self.operator == "Exists")


class LabelSelector(_Model):
    """A Kubernetes label selector (meta/v1); an empty one matches everything."""

    match_labels: dict[str, str] = {}
    match_expressions: list[LabelRequirement] = []

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(name) == value for name, value in self.match_labels.items()) and all(
            requirement.matches(labels) for requirement in self.match_expressions
        )


class ApiKey(_Model):
    """Which Secrets hold the keys: by label, in the AuthConfig's namespace or in all."""

    selector: LabelSelector
    all_namespaces: bool = False


class Anonymous(_Model):
    """Lets everyone in."""


class Named(_Model):
    name: Annotated[str, Field(min_length=1)]


class Prefixed(_Model):
    prefix: str = ""


class Credentials(_Model):
    """Where in the request the credential stands; by default behind ``Bearer`` in the authorization header."""

    authorization_header: Prefixed | None = None
    custom_header: Named | None = None
    cookie: Named | None = None
    query_string: Named | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if len(self.model_fields_set) > 1:
            raise ValueError("credentials stand in one of authorizationHeader, customHeader, cookie and queryString")
        return self


class Authentication(_Evaluator):
    """One way to prove an identity."""

    credentials: Credentials = Credentials()
    api_key: ApiKey | None = None
    anonymous: Anonymous | None = None
    defaults: dict[str, ValueOrSelector] = {}
    """Properties the identity gets if it lacks them."""
    overrides: dict[str, ValueOrSelector] = {}
    """Properties the identity gets in any case."""

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if (self.api_key is None) == (self.anonymous is None):
            raise ValueError("an authentication has exactly one of apiKey and anonymous")
        return self


class Opa(_Model):
    """An inline Rego policy; its rule ``allow`` decides."""

    rego: Annotated[str, Field(min_length=1)]
    all_values: bool = False
    version: Literal["v0", "v1"] = "v0"


class PatternMatching(_Model):
    patterns: list[Pattern]


class Authorization(_Evaluator):
    """One rule that must hold for an identity to be let in."""

    opa: Opa | None = None
    pattern_matching: PatternMatching | None = None

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if (self.opa is None) == (self.pattern_matching is None):
            raise ValueError("an authorization has exactly one of opa and patternMatching")
        return self


class JsonProperties(_Model):
    properties: dict[str, ValueOrSelector]


class SuccessItem(_Evaluator):
    """A value handed on with an allowed request, under :attr:`key` or the item's own name."""

    key: str = ""
    plain: ValueOrSelector | None = None
    json_: Annotated[JsonProperties | None, Field(alias="json")] = None

    @model_validator(mode="after")
    def _one_method(self) -> Self:
        if (self.plain is None) == (self.json_ is None):
            raise ValueError("a success item has exactly one of plain and json")
        return self


class SuccessResponse(_Model):
    headers: dict[str, SuccessItem] = {}
    """To request headers."""
    filters: Annotated[
        dict[str, SuccessItem], Field(validation_alias=AliasChoices("filters", "dynamicMetadata"), default={})
    ]
    """To Envoy's dynamic metadata."""


class DenyWith(_Model):
    """What a denied request is answered with instead of 401 or 403 and the reason."""

    code: Annotated[int, Field(ge=300, le=599)] | None = None
    message: ValueOrSelector | None = None
    headers: dict[str, ValueOrSelector] = {}
    body: ValueOrSelector | None = None


class Response(_Model):
    unauthenticated: DenyWith | None = None
    unauthorized: DenyWith | None = None
    success: SuccessResponse = SuccessResponse(filters={})


class AuthRules(_Model):
    """The rules of one AuthPolicy (``spec.rules``), or an AuthConfig's ``spec`` without its hosts."""

    patterns: dict[str, list[Pattern] | dict[Literal["allOf"], list[Pattern]]] = {}
    """Sets of patterns that others refer to by name."""
    when: list[Pattern] = []
    authentication: dict[str, Authentication] = {}
    authorization: dict[str, Authorization] = {}
    response: Response = Response()

    def named_patterns(self, name: str) -> list[Pattern] | None:
        named = self.patterns.get(name)
        return named["allOf"] if isinstance(named, dict) else named


class AuthConfig(_Model):
    """Rules and the hosts they protect. Kuadrant's operator gives each one host, the scope of the auth action."""

    name: str
    namespace: str = KUADRANT_NAMESPACE
    hosts: list[str]
    rules: AuthRules

    @classmethod
    def from_object(cls, manifest: Mapping[str, Any]) -> Self:
        """Read a Kubernetes object of kind ``AuthConfig``. Raises pydantic.ValidationError."""
        metadata = manifest.get("metadata", {})
        spec = dict(manifest.get("spec", {}))
        given = {"name": metadata.get("name"), "hosts": spec.pop("hosts", None), "rules": spec}
        if "namespace" in metadata:
            given["namespace"] = metadata["namespace"]
        return cls.model_validate(given)


class Secret(BaseModel):
    """A Kubernetes Secret, as far as keys need it; unknown members are kept, for policies may select them."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    metadata: dict[str, Any] = {}
    data: Annotated[dict[str, str], Field(repr=False)] = {}
    string_data: Annotated[dict[str, str], Field(alias="stringData", repr=False)] = {}
    type: str = "Opaque"

    @model_validator(mode="after")
    def _decodable(self) -> Self:
        for name, value in self.data.items():
            try:
                base64.b64decode(value, validate=True)
            except binascii.Error:
                raise ValueError(f"data.{name} is no base64; plain text belongs in stringData") from None
        return self

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.get("labels") or {}

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace") or "default")

    def value(self, name: str) -> bytes:
        """The decoded entry *name*, empty if there is none; ``stringData`` wins, as in the Kubernetes API."""
        if name in self.string_data:
            return self.string_data[name].encode()
        return base64.b64decode(self.data.get(name, ""))

    def document(self) -> dict[str, Any]:
        """The Secret as the Kubernetes API shows it: ``stringData`` folded into ``data``."""
        folded = {name: base64.b64encode(value.encode()).decode() for name, value in self.string_data.items()}
        return {"metadata": self.metadata, "data": self.data | folded, "type": self.type}
