"""A set of typed objects, read from files the way `kubectl apply` would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from host_sim.kuadrant.diagnostics import ManifestError, Notice, PathStep, describe
from host_sim.kuadrant.gateway_api import Gateway, HTTPRoute
from host_sim.kuadrant.kustomization import gather_manifests
from host_sim.kuadrant.manifest import Manifest
from host_sim.kuadrant.objects import SERVER_FIELDS, Deployment, KubernetesObject, Secret, Service, unknown_fields
from host_sim.kuadrant.policies import AuthPolicy, RateLimitPolicy, TelemetryPolicy, TokenRateLimitPolicy

KINDS: Final[tuple[type[KubernetesObject], ...]] = (
    Gateway,
    HTTPRoute,
    AuthPolicy,
    RateLimitPolicy,
    TokenRateLimitPolicy,
    TelemetryPolicy,
    Secret,
    Service,
    Deployment,
)

_BY_GROUP_AND_KIND: Final = {(kind.GROUP, kind.KIND): kind for kind in KINDS}

T = TypeVar("T", bound=KubernetesObject)


class Resources:
    """Objects by kind, namespace and name, in the order in which they were first read."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self._objects: dict[tuple[str, str, str], KubernetesObject] = {}

    def add(self, item: KubernetesObject) -> None:
        """Take an object in. One of the same name gives way, with a notice, as at a second `kubectl apply`."""
        identity = (item.KIND, item.namespace, item.name)
        earlier = self._objects.get(identity)
        if earlier is not None:
            self.notices.append(Notice(item.place(), f"{item.KIND} {item.key} again: replaces {earlier.place()}"))
        self._objects[identity] = item

    def copy(self) -> Resources:
        """The same objects and a list of notices of its own."""
        copied = Resources()
        copied.notices.extend(self.notices)
        copied._objects.update(self._objects)
        return copied

    def all(self, kind: type[T]) -> list[T]:
        return [item for item in self._objects.values() if isinstance(item, kind)]

    def get(self, kind: type[T], namespace: str, name: str) -> T | None:
        item = self._objects.get((kind.KIND, namespace, name))
        return item if isinstance(item, kind) else None


def load_resources(paths: Iterable[Path], namespace: str | None = None) -> Resources:
    """Read files and folders of manifests.

    Args:
        paths: files, folders of files, or folders with a kustomization.yaml.
        namespace: `kubectl -n`: the namespace of objects that name none (`default` if None).

    Raises:
        ManifestError: a file cannot be read or an object breaks its kind's schema.
    """
    resources = Resources()
    for manifest in gather_manifests(paths, resources.notices):
        item = _read_object(manifest, namespace, resources.notices)
        if item is not None:
            resources.add(item)
    return resources


def _read_object(manifest: Manifest, namespace: str | None, notices: list[Notice]) -> KubernetesObject | None:
    api_version, kind = manifest.content.get("apiVersion"), manifest.content.get("kind")
    for key, value in (("apiVersion", api_version), ("kind", kind)):
        if not isinstance(value, str) or not value:
            raise ManifestError(manifest.place(key), found=describe(value), expected=f"the {key} of an object")
    group = str(api_version).rpartition("/")[0]
    model = _BY_GROUP_AND_KIND.get((group, str(kind)))
    if model is None:
        notices.append(Notice(manifest.place("kind"), f"{api_version} {kind} is not translated, so it has no effect"))
        return None
    content = {key: value for key, value in manifest.content.items() if key != "status"}
    metadata = content.get("metadata")
    if isinstance(metadata, dict):
        metadata = {key: value for key, value in metadata.items() if key not in SERVER_FIELDS}
        if namespace is not None:
            metadata.setdefault("namespace", namespace)
        content["metadata"] = metadata
    try:
        item = model.model_validate(content)
    except ValidationError as error:
        raise _schema_error(manifest, str(kind), error) from None
    item.attach(manifest)
    for path in unknown_fields(item):
        notices.append(Notice(manifest.place(*path), f"this field of {kind} is not translated, so it has no effect"))
    return item


def _schema_error(manifest: Manifest, kind: str, error: ValidationError) -> ManifestError:
    """The first complaint of the model, in the words of this package; a Secret's values stay out of it."""
    first = error.errors(include_url=False)[0]
    path = _known_path(manifest.content, first["loc"])
    found = describe(first["input"])
    if first["type"] == "missing":
        found = describe(None)
    elif kind == "Secret" and path[:1] != ("metadata",):
        found = f"a value of type {type(first['input']).__name__}"
    expected = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] in ("missing", "extra_forbidden"):
        expected = f"this field of {kind}"
    others = error.error_count() - 1
    return ManifestError(
        manifest.place(*path),
        found=found,
        expected=expected,
        remedy=f"{others} more like it in this object" if others else "",
    )


def _known_path(content: Mapping[str, object], location: tuple[PathStep, ...]) -> tuple[PathStep, ...]:
    """`location` without the steps pydantic adds for alternatives of a union (they are no keys of the content)."""
    path: list[PathStep] = []
    value: object = content
    for index, step in enumerate(location):
        if isinstance(value, Mapping) and isinstance(step, str):
            if step not in value and index < len(location) - 1:
                continue
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            continue
        path.append(step)
    return tuple(path)
