"""Values as they are given: cleaned, counted, laid over one another."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payi_middleware import UseCaseError, health
from payi_middleware.attribution import (
    MAX_LAYERS,
    MAX_PROPERTIES,
    MAX_PROPERTY,
    MAX_TAGS,
    MAX_TEXT,
    NOTHING,
    Given,
    check_use_case,
    clean,
    laid,
    merge,
    stacked,
)
from payi_middleware.events import Attribution
from payi_middleware.headers import given_by_headers


class Tag(str, Enum):  # its str() is not its value
    BATCH = "batch"


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Silent:
    """Without a text of its own, as most classes are."""


class Row:
    def __str__(self) -> str:
        return "row-7"


class Called(Row):
    def __call__(self) -> str:
        return "row-7"


class Awaited(Row):
    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize("value", [Silent(), Silent().__str__, len, lambda: "jane", Silent, Called(), Awaited(), True])
def test_what_is_nobodys_name(value: object) -> None:
    """An object that only shows its address, a function that was not called, an answer not awaited: dropped and counted."""
    assert clean(user_id=value, account_name=value) == NOTHING
    assert health.counters() == {"field_dropped": 2}


def test_an_objects_own_text() -> None:
    """An object with a text of its own is that text."""
    assert clean(user_id=Row()).user_id == "row-7"


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("user_id", " jane ", "jane"),
        ("user_id", 0, "0"),
        ("user_id", 12.5, "12.5"),
        ("user_id", "", ""),
        ("account_name", "Köhler & Söhne", "Köhler & Söhne"),
        ("request_tags", "a,b", ("a", "b")),
        ("request_tags", ["a", " b ", "a"], ("a", "b")),
        ("request_tags", (tag for tag in ("a", "b")), ("a", "b")),
        ("request_tags", [Tag.BATCH], ("batch",)),
        ("request_tags", [], ()),
        ("request_tags", "", ()),
        ("limit_ids", "lim 1, lim 2", ("lim 1", "lim 2")),
        ("limit_ids", [7, "x"], ("7", "x")),
        ("limit_ids", [], ()),
        ("limit_ids", "", ()),
        ("limit_tags", ["team"], ("team",)),
        (
            "request_properties",
            {"a": 1, "b": None, "c": True, "d": Tag.BATCH},
            {"a": "1", "b": None, "c": "True", "d": "batch"},
        ),
        ("request_properties", {}, {}),
        ("request_properties", {"a": "one\ntwo\x00"}, {"a": "one two "}),
        ("use_case_version", 3, 3),
        ("use_case_version", "3", 3),
        ("use_case_version", 0, 0),
        ("use_case_name", "Document-Summary", "Document-Summary"),
        ("use_case_name", "", ""),
        ("use_case_step", "zusammenfassen: erster Teil", "zusammenfassen: erster Teil"),
        ("price_as", "system.openai/gpt-4o", "system.openai/gpt-4o"),
    ],
)
def test_what_is_kept(field: str, value: object, kept: object) -> None:
    """Sound values are kept as they mean, and nothing is counted."""
    assert getattr(clean(**{field: value}), field) == kept
    assert health.counters() == {}


@pytest.mark.parametrize(
    ("field", "value", "kept", "counted"),
    [
        ("user_id", "ja\x1b[31mne", None, {"field_dropped": 1}),
        ("user_id", "jane\r\nx: y", None, {"field_dropped": 1}),
        ("user_id", "jane\u2028", "jane", {}),  # white space at an end is no harm
        ("user_id", "ja\u2028ne", None, {"field_dropped": 1}),
        ("user_id", "\ud800", None, {"field_dropped": 1}),
        ("user_id", "x" * 10_000, "x" * MAX_TEXT, {"field_cut": 1}),
        ("user_id", True, None, {"field_dropped": 1}),
        ("user_id", ["jane"], None, {"field_dropped": 1}),
        ("user_id", Unreadable(), None, {"field_dropped": 1}),
        ("request_tags", ["ok", "not ok", "", "x" * 65, 7, "ü"], ("ok",), {"tags_dropped": 4}),
        ("request_tags", ["not ok"], None, {"tags_dropped": 1}),  # dropped, which is not the same as cleared
        (
            "request_tags",
            ",".join(f"t{n}" for n in range(20_000)),
            tuple(f"t{n}" for n in range(32)),
            {"tags_dropped": 19_968},
        ),
        ("request_tags", 7, None, {"field_dropped": 1}),
        ("limit_ids", 7, None, {"field_dropped": 1}),
        ("limit_ids", ["a\x00"], None, {"field_dropped": 1}),
        ("limit_ids", [f"l{n}" for n in range(40)], tuple(f"l{n}" for n in range(32)), {"field_dropped": 1}),
        ("request_properties", "a=b", None, {"field_dropped": 1}),
        ("request_properties", {"": "x"}, None, {"field_dropped": 1}),
        ("request_properties", {"a": "x" * 2000}, {"a": "x" * MAX_PROPERTY}, {"field_cut": 1}),
        ("use_case_version", "three", None, {"field_dropped": 1}),
        ("use_case_version", -1, None, {"field_dropped": 1}),
        ("use_case_version", 1 << 31, None, {"field_dropped": 1}),
        ("use_case_version", "9" * 5000, None, {"field_dropped": 1}),
        ("use_case_name", "two words", None, {"field_dropped": 1}),
        ("use_case_name", "x" * 65, None, {"field_dropped": 1}),
    ],
)
def test_what_is_dropped(
    field: str, value: object, kept: object, counted: dict[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    """What is malformed is dropped or cut at a stated bound, counted and logged once, its value by a short repr."""
    assert getattr(clean(**{field: value}), field) == kept
    assert health.counters() == counted
    assert len(caplog.records) == len(counted)
    for record in caplog.records:
        assert field in record.getMessage()
        assert len(record.getMessage()) < 400
        assert record.getMessage().isprintable()


def test_more_properties_than_bounded() -> None:
    """Of too many properties the first are kept, and each of the others is counted."""
    kept = clean(request_properties={f"k{n}": n for n in range(MAX_PROPERTIES + 3)}).request_properties

    assert kept is not None
    assert len(kept) == MAX_PROPERTIES
    assert health.counters() == {"field_dropped": 3}


def test_more_than_bounded_in_all() -> None:
    """What several sources tell together is bounded as what one tells, and the rest counted."""
    tags = [clean(request_tags=[f"t{n}{m}" for m in range(20)]) for n in range(3)]
    bags = [clean(request_properties={f"k{n}{m}": m for m in range(40)}) for n in range(3)]

    who = laid([*tags, *bags])

    assert who.request_tags == tuple(f"t{n}{m}" for n in range(2) for m in range(20))[:MAX_TAGS]
    assert len(who.request_properties) == MAX_PROPERTIES
    assert health.counters() == {"tags_dropped": 1, "properties_dropped": 1}


def test_unknown_field() -> None:
    """A field of another name is the programmer's error, which lists the right ones."""
    with pytest.raises(TypeError, match=r"unknown field 'user'; valid fields are: user_id, account_name"):
        clean(user="jane")


@pytest.mark.parametrize("name", ["", "x" * 65, "two words", "ä", "a/b", "a\n", None, 7, Unreadable])
def test_use_case_names_in_code(name: object) -> None:
    """A use case name in code is checked at decoration, with an error that tells the rule."""
    with pytest.raises(UseCaseError, match=r"is not valid: use 1 to 64 of A-Z a-z 0-9 \. _ -"):
        check_use_case(name)


@pytest.mark.parametrize(
    ("header", "value", "counted"),
    [
        ("xproxy-request-tags", ",".join(["tag"] * 25_000), {"header_dropped": 1}),
        ("xproxy-user-id", "x" * 10_000, {"field_cut": 1}),
        ("xproxy-user-id", "a\x01b", {"field_dropped": 1}),
        ("xproxy-request-properties", "{broken", {"header_dropped": 1}),
        ("xproxy-request-properties", "[1, 2]", {"header_dropped": 1}),
        ("xproxy-request-properties", "%%%", {"header_dropped": 1}),
        ("xproxy-request-properties", "e30", {"header_dropped": 1}),  # base64 without its padding
        ("xproxy-request-properties", "/////w==", {"header_dropped": 1}),  # base64 of bytes that are no text
        ("xproxy-request-properties", "WzFd", {"header_dropped": 1}),  # base64 of a JSON list
        ("xproxy-request-properties", "\udcff", {"header_dropped": 1}),
        ("xproxy-usecase-version", "one", {"field_dropped": 1}),
    ],
)
def test_malformed_headers(header: str, value: str, counted: dict[str, int], caplog: pytest.LogCaptureFixture) -> None:
    """A malformed header is dropped or cut, counted, and logged once however often it comes."""
    for _ in range(3):
        told = given_by_headers({header: value, "xproxy-account-name": "acme"})
        assert told.account_name == "acme"

    assert health.counters() == {kind: 3 * n for kind, n in counted.items()}
    assert len(caplog.records) == 1
    assert len(caplog.records[0].getMessage()) < 400
    assert caplog.records[0].getMessage().isprintable()


def test_empty_headers_clear() -> None:
    """An empty header clears its field."""
    told = given_by_headers(
        dict.fromkeys(("xproxy-user-id", "xproxy-request-tags", "xproxy-limit-ids", "xproxy-request-properties"), "")
    )

    assert (told.user_id, told.request_tags, told.limit_ids, told.request_properties) == ("", (), (), {})
    assert given_by_headers({"xproxy-priceas-category": "system.openai"}) == NOTHING
    assert given_by_headers({"xproxy-priceas-resource": "gpt-4o"}).price_as == "gpt-4o"


TEXTS = st.none() | st.sampled_from(["", "a", "b"])
TAGS = st.none() | st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True).map(tuple)
BAGS = st.none() | st.dictionaries(st.sampled_from(["k", "l"]), st.none() | st.sampled_from(["1", "2"]), max_size=2)
GIVENS = st.builds(
    Given,
    user_id=TEXTS,
    account_name=TEXTS,
    request_tags=TAGS,
    request_properties=BAGS,
    use_case_name=TEXTS,
    use_case_id=TEXTS,
    use_case_version=st.none() | st.integers(0, 2),
    use_case_step=TEXTS,
    use_case_properties=BAGS,
    limit_ids=TAGS,
    limit_tags=TAGS,
    price_as=TEXTS,
    resource_scope=TEXTS,
)
LAYERS = st.lists(GIVENS, max_size=5)


@given(LAYERS)
def test_laying_all_is_merging_one_by_one(layers: list[Given]) -> None:
    """To lay sources over one another at once comes to the same as to merge each into what the weaker ones made."""
    known = Attribution()
    for layer in layers:
        known = merge(known, layer)

    assert laid(layers) == known


@given(LAYERS, LAYERS)
@settings(max_examples=500)
def test_stacking_means_the_same(below: list[Given], told: list[Given]) -> None:
    """What `current().set` told in turn means the same folded together as one by one, whatever is below it."""
    stack: tuple[Given, ...] = ()
    for layer in told:
        stack = stacked(stack, layer)

    assert laid([*below, *stack]) == laid([*below, *told])
    assert len(stack) <= len(told)


@given(st.lists(GIVENS, min_size=2, max_size=6), GIVENS)
def test_stack_is_bounded(told: list[Given], last: Given) -> None:
    """However often something is told, the stack stays small, and the last word counts."""
    stack: tuple[Given, ...] = ()
    for layer in (*told * MAX_LAYERS, last):
        stack = stacked(stack, layer)

    assert len(stack) <= MAX_LAYERS
    for name in ("user_id", "use_case_name", "price_as"):
        if getattr(last, name) is not None:
            assert getattr(laid(stack), name) == (getattr(last, name) or None)


@given(LAYERS)
def test_values_of_an_attribution(layers: list[Given]) -> None:
    """An attribution never has an empty text, a tag twice, or a property without a value."""
    who = laid(layers)

    for name, value in msgspec.structs.asdict(who).items():
        assert value != "" or isinstance(value, tuple), name
    for tags in (who.request_tags, who.limit_ids, who.limit_tags):
        assert len(tags) == len(set(tags))
    assert None not in [*who.request_properties.values(), *who.use_case_properties.values()]


@given(GIVENS, GIVENS)
def test_rules_of_merging(lower: Given, upper: Given) -> None:
    """A field that is not told stays, one that is told replaces, tags come together, and an empty one clears."""
    below, both = merge(Attribution(), lower), merge(merge(Attribution(), lower), upper)

    for name in ("user_id", "account_name", "price_as", "resource_scope"):
        told = getattr(upper, name)
        assert getattr(both, name) == (getattr(below, name) if told is None else told or None)
    for name in ("request_tags", "limit_ids", "limit_tags"):
        told = getattr(upper, name)
        assert set(getattr(both, name)) == (set() if told == () else {*getattr(below, name), *(told or ())})
    assert merge(below, NOTHING) is below


ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(Given.__struct_fields__), ANYTHING))
def test_cleaning_anything(values: dict[str, Any]) -> None:
    """Whatever is given, cleaning raises nothing, stays within its bounds, and what it made can be encoded."""
    told = clean(**values)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(laid([told])), type=Attribution) == laid([told])
    for name, value in told.told().items():
        if isinstance(value, str):
            assert len(value) <= MAX_TEXT
            assert value.isprintable() or not any(ord(c) < 32 for c in value), name
        if isinstance(value, tuple):
            assert len(value) <= MAX_TAGS


@given(GIVENS)
def test_cleaning_again_changes_nothing(told: Given) -> None:
    """What was cleaned is clean."""
    assert clean(**msgspec.structs.asdict(told)) == told
