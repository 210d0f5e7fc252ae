import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from host_sim.world.auth.selectors import Selector, SelectorError, Template

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text())
KEYS = st.text(min_size=1).filter(lambda key: key != "#" and key[0] not in "@[!")


def escaped(key: str) -> str:
    return re.sub(r"([.|*?\\#])", r"\\\1", key)


@given(st.lists(KEYS, min_size=1, max_size=5), SCALARS)
def test_an_escaped_path_leads_to_its_value(path: list[str], value: Any) -> None:
    document = value
    for key in reversed(path):
        document = {key: document, "other": {key: "wrong"}} if key != "other" else {key: document}
    assert Selector(".".join(map(escaped, path))).select(document) == value


@given(
    st.text(st.sampled_from('ab.|@:{}#*?\\[]!"0 ,case')),
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab0"), inner, max_size=3),
        max_leaves=8,
    ),
)
def test_any_text_is_a_selector_or_refused(source: str, document: Any) -> None:
    for kind in (Selector, Template):
        try:
            compiled = kind(source)
        except SelectorError:
            continue
        if isinstance(compiled, Selector):
            compiled.select(document)
        else:
            assert isinstance(compiled.render(document), str)
