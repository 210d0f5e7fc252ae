"""Which files to read, and which namespace their objects get: `kubectl apply -f` and `-k`, as far as policies need it.

A folder with a `kustomization.yaml` is read as kustomize reads it, for `resources`, `namespace` and the builtin
NamespaceTransformer; anything else in it is reported. A folder without one is all its YAML files, in the order of their
names, as for `kubectl apply -f FOLDER`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from host_sim.kuadrant.diagnostics import ManifestError, Notice, Place, describe
from host_sim.kuadrant.manifest import Manifest, parse_manifests, read_manifests

_INDEX_NAMES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_INDEX_FIELDS: Final = frozenset({"apiVersion", "kind", "metadata", "resources", "namespace", "transformers"})
_MAX_NESTED_FOLDERS: Final = 8


def gather_manifests(paths: Iterable[Path], notices: list[Notice]) -> list[Manifest]:
    """All objects below `paths` (files or folders), namespaces filled in where a kustomization says so.

    Raises `ManifestError`; what is passed over is appended to `notices`.
    """
    manifests: list[Manifest] = []
    for path in paths:
        manifests.extend(_gather(path, notices, _MAX_NESTED_FOLDERS))
    return manifests


def _gather(path: Path, notices: list[Notice], folders_left: int) -> Iterator[Manifest]:
    if not path.is_dir():
        if not path.exists():
            raise ManifestError(Place(path, 1), found="no such file", expected="a manifest or a folder of manifests")
        for manifest in read_manifests(path):
            yield from manifest.items()
        return
    index = next((path / name for name in _INDEX_NAMES if (path / name).is_file()), None)
    if index is not None:
        yield from _gather_kustomization(index, notices, folders_left)
        return
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and file.is_file())
    if not files:
        raise ManifestError(Place(path, 1), found="no .yaml, .yml or .json file", expected="a folder of manifests")
    for file in files:
        yield from _gather(file, notices, folders_left)


def _gather_kustomization(index: Path, notices: list[Notice], folders_left: int) -> Iterator[Manifest]:
    if folders_left == 0:
        raise ManifestError(
            Place(index, 1), found="kustomizations inside each other", expected=f"at most {_MAX_NESTED_FOLDERS} levels"
        )
    documents = read_manifests(index)
    if len(documents) != 1:
        raise ManifestError(Place(index, 1), found=f"{len(documents)} documents", expected="one Kustomization")
    document = documents[0]
    for key in document.content:
        if key not in _INDEX_FIELDS:
            notices.append(Notice(document.place(key), "not understood here, so not applied"))
    gathered: list[Manifest] = []
    for number, resource in enumerate(_texts(document, "resources")):
        if "://" in resource or "?" in resource:
            raise ManifestError(
                document.place("resources", number), found=resource, expected="a file or folder of this machine"
            )
        gathered.extend(_gather(index.parent / resource, notices, folders_left - 1))
    namespace = document.content.get("namespace")
    if namespace is not None:
        _set_namespace(gathered, _text(document, namespace, "namespace"), only_unset=False)
    for number, transformer in enumerate(_texts(document, "transformers")):
        place = document.place("transformers", number)
        inline = "\n" in transformer
        parts = parse_manifests(transformer, index) if inline else read_manifests(index.parent / transformer)
        for part in parts:
            _apply_transformer(part.content, gathered, place, notices)
    yield from gathered


def _apply_transformer(content: dict[str, Any], gathered: list[Manifest], place: Place, notices: list[Notice]) -> None:
    metadata = content.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    if content.get("kind") != "NamespaceTransformer":
        notices.append(Notice(place, f"transformer {content.get('kind')} is not understood here, so not applied"))
    elif not isinstance(namespace, str) or not namespace:
        raise ManifestError(place, found=describe(namespace), expected="metadata.namespace of the NamespaceTransformer")
    else:
        _set_namespace(gathered, namespace, only_unset=content.get("unsetOnly") is True)


def _set_namespace(manifests: list[Manifest], namespace: str, *, only_unset: bool) -> None:
    for manifest in manifests:
        metadata = manifest.content.setdefault("metadata", {})
        if isinstance(metadata, dict) and not (only_unset and metadata.get("namespace")):
            metadata["namespace"] = namespace


def _texts(document: Manifest, key: str) -> list[str]:
    values = document.content.get(key, [])
    if not isinstance(values, list):
        raise ManifestError(document.place(key), found=describe(values), expected="a list of text")
    return [_text(document, value, key, number) for number, value in enumerate(values)]


def _text(document: Manifest, value: object, *path: str | int) -> str:
    if not isinstance(value, str) or not value:
        raise ManifestError(document.place(*path), found=describe(value), expected="text")
    return value
