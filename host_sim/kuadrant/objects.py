"""The shape all Kubernetes objects share, and the core kinds the translation reads: Secret, Service, Deployment.

Models are strict, as the API server is: a number in quotes is no number. Fields they do not know are kept aside
(`model_extra`), so that the reader can say which lines have no effect.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic.alias_generators import to_camel

from host_sim.kuadrant.diagnostics import PathStep, Place
from host_sim.kuadrant.manifest import Manifest

SERVER_FIELDS: Final = frozenset(
    {
        "deletionGracePeriodSeconds",
        "finalizers",
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    }
)
"""Metadata that the API server writes; harmless in a file made with `kubectl get -o yaml`."""


class Model(BaseModel):
    """A part of an object: camelCase in YAML, strict, unknown fields kept in `model_extra`."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, strict=True, frozen=True, extra="allow"
    )


def _timestamp(value: object) -> object:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class ObjectMeta(Model):
    name: str = Field(min_length=1)
    namespace: str = "default"
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: Annotated[datetime | None, BeforeValidator(_timestamp)] = None


class KubernetesObject(Model):
    """What every kind has. `GROUP` and `KIND` tell which manifests a class reads."""

    GROUP: ClassVar[str]
    KIND: ClassVar[str]

    api_version: str
    kind: str
    metadata: ObjectMeta

    _manifest: Manifest = PrivateAttr()

    def attach(self, manifest: Manifest) -> None:
        self._manifest = manifest

    def place(self, *path: PathStep) -> Place:
        """Where `path` of this object stands in its file."""
        return self._manifest.place(*path)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def key(self) -> str:
        """`namespace/name`, the way Kuadrant names things in scopes and hashes."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def locator(self) -> str:
        """`kind.group:namespace/name`, the way Kuadrant names the policies an action comes from."""
        return f"{self.KIND.lower()}.{self.GROUP}:{self.key}"

    @property
    def age_order(self) -> tuple[bool, float, str]:
        """Sort key: oldest first, then by name; an object without a timestamp counts as new."""
        created = self.metadata.creation_timestamp
        return (created is None, created.timestamp() if created is not None else 0.0, self.key)


def _base64_texts(values: dict[str, str]) -> dict[str, str]:
    for key, value in values.items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            # Never with the value: it may be a key in clear text, put under `data` by mistake.
            raise ValueError(f"base64 in {key}; plain text belongs in stringData") from None
    return values


class Secret(KubernetesObject):
    GROUP: ClassVar[str] = ""
    KIND: ClassVar[str] = "Secret"

    type: str = "Opaque"
    data: Annotated[dict[str, str], AfterValidator(_base64_texts)] = Field(default_factory=dict, repr=False)
    string_data: dict[str, str] = Field(default_factory=dict, repr=False)
    immutable: bool = False

    def values(self) -> dict[str, bytes]:
        """The Secret's entries as bytes; `stringData` wins over `data`, as in the API server."""
        decoded = {key: base64.b64decode(value) for key, value in self.data.items()}
        return decoded | {key: value.encode() for key, value in self.string_data.items()}

    def manifest(self) -> dict[str, Any]:
        """The Secret as a Kubernetes object, its namespace filled in."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ServicePort(Model):
    port: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    app_protocol: str | None = None


class ServiceSpec(Model):
    selector: dict[str, str] = Field(default_factory=dict)
    ports: list[ServicePort] = Field(default_factory=list)
    type: str = "ClusterIP"


class Service(KubernetesObject):
    GROUP: ClassVar[str] = ""
    KIND: ClassVar[str] = "Service"

    spec: ServiceSpec


class ContainerPort(Model):
    container_port: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: str = "TCP"


class Container(Model):
    name: str
    image: str
    command: list[str] = Field(default_factory=list)
    args: list[str] = Field(default_factory=list)
    ports: list[ContainerPort] = Field(default_factory=list)


class PodSpec(Model):
    containers: list[Container] = Field(min_length=1)


class PodTemplateMeta(Model):
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class PodTemplate(Model):
    metadata: PodTemplateMeta = Field(default_factory=PodTemplateMeta)
    spec: PodSpec


class LabelSelector(Model):
    match_labels: dict[str, str] = Field(default_factory=dict)


class DeploymentSpec(Model):
    replicas: int = Field(default=1, ge=0)
    selector: LabelSelector = Field(default_factory=LabelSelector)
    template: PodTemplate


class Deployment(KubernetesObject):
    GROUP: ClassVar[str] = "apps"
    KIND: ClassVar[str] = "Deployment"

    spec: DeploymentSpec


def unknown_fields(value: Any, path: tuple[PathStep, ...] = ()) -> list[tuple[PathStep, ...]]:
    """Paths of all fields below `value` that no model knows."""
    found: list[tuple[PathStep, ...]] = []
    if isinstance(value, Model):
        found.extend((*path, name) for name in value.model_extra or {})
        for name, info in type(value).model_fields.items():
            found.extend(unknown_fields(getattr(value, name), (*path, info.alias or name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found.extend(unknown_fields(item, (*path, index)))
    elif isinstance(value, dict):
        for key, item in value.items():
            found.extend(unknown_fields(item, (*path, key)))
    return found
