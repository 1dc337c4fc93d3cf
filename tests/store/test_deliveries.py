"""What other places have of a store's events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made import call
from stores import url

from payi_middleware.events import CallEvent, Cost
from payi_middleware.exceptions import StoreError
from payi_middleware.store import Store, open_store
from payi_middleware.store.deliveries import _NEXT, Batch, Place, Rejected, Rejection

PLACE = Place("https://a.test", "default")
EVERYTHING = 1 << 62


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(url(tmp_path), create=True) as found:
        yield found


def add(store: Store, *users: str, **given: Any) -> list[CallEvent]:
    events = [call(user_id=user, **given) for user in users]
    store.write(events)
    return events


def batch(store: Store, size: int = 100, place: Place = PLACE, **more: Any) -> Batch | None:
    return store.undelivered(place, more.pop("upto", EVERYTHING), size, **more)


def users(found: Batch | None) -> list[str | None]:
    return [] if found is None else [event.user_id for event in found.events]


def take(store: Store, size: int = 100, place: Place = PLACE, rejected: tuple[Rejected, ...] = ()) -> list[str | None]:
    found = batch(store, size, place)
    assert found is not None
    store.delivered(place, found, rejected)
    return users(found)


@pytest.mark.usefixtures("anywhere")
def test_batches_follow_one_another(store: Store) -> None:
    """Each begins behind the last that was taken, in the order of the store; what was not taken is told again."""
    add(store, "a", "b", "c", started_ns=9 * 10**18)
    add(store, "d", started_ns=1 << 60)

    assert users(batch(store, 2)) == users(batch(store, 2)) == ["a", "b"]
    assert take(store, 2) == ["a", "b"]
    assert take(store, 2) == ["c", "d"]
    assert batch(store) is None
    assert users(batch(store, upto=3, place=Place("https://b.test", "default"))) == ["a", "b", "c"]


@pytest.mark.usefixtures("anywhere")
def test_each_place_has_a_mark(store: Store) -> None:
    """Another server, and another application, have marks of their own; an application has its own events only."""
    add(store, "a")
    add(store, "b", application="other")
    add(store, "c")
    other, elsewhere = Place("https://a.test", "other"), Place("https://b.test", "default")

    assert take(store) == ["a", "c"]
    assert take(store, place=other) == ["b"]
    assert take(store, 1, elsewhere) == ["a"]
    assert [(found.place, found.waiting) for found in store.deliveries()] == [(PLACE, 0), (other, 0), (elsewhere, 1)]


@pytest.mark.usefixtures("anywhere")
def test_a_place_that_is_to_get_events(store: Store) -> None:
    """It is known before it has taken one, and what it has taken stays taken."""
    add(store, "a", "b")
    for _ in range(2):
        store.expect(PLACE)
    (found,) = store.deliveries()
    assert (found.place, found.at_ns, found.waiting) == (PLACE, 0, 2)

    assert take(store, 1) == ["a"]
    store.expect(PLACE)
    assert store.deliveries()[0].waiting == 1


@pytest.mark.usefixtures("anywhere")
def test_who_looked_before_need_not_look_through_all_again(store: Store) -> None:
    """Up to a number that was looked through nothing is looked for, but what is offered again."""
    add(store, "a")
    assert take(store, rejected=(Rejected(0, 400, "no", "no"),)) == ["a"]
    add(store, "b", "c")

    assert users(batch(store, looked=2)) == ["c"]
    store.offer_again()
    assert users(batch(store, looked=3)) == ["a"]


@pytest.mark.usefixtures("anywhere")
def test_costs_are_those_of_the_last_correction(store: Store) -> None:
    """What was priced anew before it is handed over has the new cost."""
    (event,) = add(store, "a")
    dearer = msgspec.structs.replace(event, cost=Cost(7, 0, 7), price_version="another")
    store.correct([(1, event, dearer)])

    found = batch(store)
    assert found is not None
    assert found.events == [dearer]


@pytest.mark.usefixtures("anywhere")
def test_what_is_refused_is_set_aside(store: Store) -> None:
    """It is told with reasons, most events first, and stands in nobody's way."""
    add(store, *"abcdef")
    no = [Rejected(at, 400, "no", f"no {at}") for at in (0, 2, 4)]

    assert take(store, rejected=(*no, Rejected(1, 0, None, "x" * 1000))) == [*"abcdef"]
    (found,) = store.deliveries()
    assert (found.waiting, found.rejected) == (0, 4)
    assert [found.rejections[0].events, found.rejections[0].code] == [3, "no"]
    assert found.rejections[1] == Rejection(None, "x" * 500, 1)
    assert batch(store) is None


@pytest.mark.usefixtures("anywhere")
def test_what_is_offered_again(store: Store) -> None:
    """It comes before newer events; what is taken then is forgotten, what is refused again is set aside anew."""
    add(store, *"abc")
    take(store, rejected=(Rejected(0, 400, "no", "first"), Rejected(2, 400, "no", "first")))
    add(store, "d")

    assert store.offer_again() == 2
    found = batch(store)
    assert found is not None
    assert (found.again, users(found)) == (True, ["a", "c"])
    store.delivered(PLACE, found, [Rejected(1, 400, "no", "second")])
    assert store.deliveries()[0].rejections == [Rejection("no", "second", 1)]
    assert take(store) == ["d"]
    assert batch(store) is None


@pytest.mark.usefixtures("anywhere")
def test_what_is_offered_again_can_be_passed_over(store: Store) -> None:
    """New events are found beside it; of either batch a part can be handed over, and the rest is next."""
    add(store, *"abc")
    take(store, rejected=tuple(Rejected(at, 500, None, "no") for at in range(3)))
    store.offer_again()
    add(store, *"de")

    old, new = batch(store), batch(store, again=False)
    assert old is not None
    assert new is not None
    assert (users(old), users(new)) == ([*"abc"], [*"de"])
    store.delivered(PLACE, old.first(2), [Rejected(1, 500, None, "no")])
    store.delivered(PLACE, new.first(1), [])
    assert (users(batch(store)), users(batch(store, again=False))) == (["c"], ["e"])
    assert store.deliveries()[0].rejected == 2


@pytest.mark.usefixtures("anywhere")
def test_a_mark_behind_the_end_begins_anew(store: Store) -> None:
    """When all events were deleted, their numbers begin anew, and so does the mark."""
    add(store, *"abc")
    take(store)
    store._connection.execute("DELETE FROM events")
    assert batch(store) is None

    add(store, "d")
    assert store.deliveries()[0].waiting == 1
    assert take(store) == ["d"]


def test_nothing_is_written_half(store: Store) -> None:
    """If the mark cannot be written, neither are refusals."""
    add(store, "a")
    found = batch(store)
    assert found is not None
    store._connection.execute("CREATE TRIGGER no BEFORE INSERT ON rejected BEGIN SELECT RAISE(ABORT, 'no'); END")

    with pytest.raises(StoreError):
        store.delivered(PLACE, found, [Rejected(0, 400, "no", "no")])
    assert store.deliveries() == []


def test_the_way_to_the_next_batch(store: Store) -> None:
    """It goes by the numbers of the events, however many applications there are."""
    plan = " ".join(row[3] for row in store._connection.execute(f"EXPLAIN QUERY PLAN {_NEXT}", (0, 9, "x", 5)))

    assert "SEARCH e USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.usefixtures("anywhere")
def test_a_reader_may_ask(store: Store, tmp_path: Path) -> None:
    """How far places are is told to who only reads; offering again writes."""
    add(store, "a")
    take(store)
    with open_store(url(tmp_path), create=False) as reader:
        assert [found.place for found in reader.deliveries()] == [PLACE]
        with pytest.raises(StoreError, match="read-only"):
            reader.offer_again()
