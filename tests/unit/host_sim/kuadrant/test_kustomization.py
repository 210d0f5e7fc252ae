from pathlib import Path

import pytest

from host_sim.kuadrant import ManifestError, Notice
from host_sim.kuadrant.kustomization import gather_manifests

SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\n"
PLACED = "apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: own}\n"
TRANSFORMER = """\
    apiVersion: builtin
    kind: NamespaceTransformer
    metadata: {name: any, namespace: given}
    unsetOnly: true
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def gather(*paths: Path) -> tuple[dict[str, str | None], list[Notice]]:
    """Namespace by name of what is found, in order, and the notices."""
    notices: list[Notice] = []
    found = [manifest.content["metadata"] for manifest in gather_manifests(paths, notices)]
    return {metadata["name"]: metadata.get("namespace") for metadata in found}, notices


def test_a_plain_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"2": SECRET % "two", "10": SECRET % "ten", "1": SECRET % "one"})
    (folder / "notes.txt").write_text("no manifest")
    found, _ = gather(folder)
    assert list(found.items()) == [("one", None), ("ten", None), ("two", None)]


def test_a_kustomization_says_what_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path, a=SECRET % "a", b=SECRET % "b", kustomization="resources: [b.yaml]\n")
    assert gather(folder)[0] == {"b": None}


def test_namespace_overrides(tmp_path: Path) -> None:
    index = "namespace: given\nresources: [a.yaml, b.yaml]\n"
    folder = write(tmp_path, a=SECRET % "a", b=PLACED % "b", kustomization=index)
    assert gather(folder)[0] == {"a": "given", "b": "given"}


@pytest.mark.parametrize("inline", [True, False])
def test_a_namespace_transformer_may_fill_in_only(tmp_path: Path, inline: bool) -> None:
    transformer = f"  - |-\n{TRANSFORMER}" if inline else "  - namespace.yaml\n"
    index = f"resources: [a.yaml, b.yaml]\ntransformers:\n{transformer}"
    folder = write(tmp_path, a=SECRET % "a", b=PLACED % "b", kustomization=index, namespace=TRANSFORMER)
    assert gather(folder)[0] == {"a": "given", "b": "own"}


def test_kustomizations_nest(tmp_path: Path) -> None:
    write(tmp_path / "base", a=SECRET % "a", kustomization="namespace: inner\nresources: [a.yaml]\n")
    top = write(tmp_path / "top", b=SECRET % "b", kustomization="resources: [../base, b.yaml]\n")
    assert gather(top)[0] == {"a": "inner", "b": None}


def test_what_a_kustomization_wants_beyond_that_is_reported(tmp_path: Path) -> None:
    index = (
        "resources: [a.yaml]\npatches: []\ntransformers:\n  - |-\n    kind: LabelTransformer\n    apiVersion: builtin\n"
    )
    _, notices = gather(write(tmp_path, a=SECRET % "a", kustomization=index))
    assert [str(notice).removeprefix(str(tmp_path)) for notice in notices] == [
        "/kustomization.yaml:2: patches: not understood here, so not applied",
        "/kustomization.yaml:4: transformers[0]: transformer LabelTransformer is not understood here, so not applied",
    ]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("resources: [https://example.com/a.yaml]\n", "expected a file or folder of this machine"),
        ("resources: [missing.yaml]\n", "missing.yaml:1: found no such file"),
        ("resources: [.]\n", "expected at most 8 levels"),
        ("resources: a.yaml\n", "resources: found 'a.yaml', expected a list of text"),
        ("resources: [1]\n", "resources[0]: found 1, expected text"),
        ("transformers:\n  - |-\n    kind: NamespaceTransformer\n    a: 1\n", "expected metadata.namespace"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, index: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        gather(write(tmp_path, kustomization=index))
    assert message in str(caught.value)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="expected a folder of manifests"):
        gather(tmp_path)
