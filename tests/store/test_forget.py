"""A person is forgotten: no byte tells of them, nobody else lost anything, and all sums stay right."""

from __future__ import annotations

import multiprocessing
import signal
import uuid
from pathlib import Path

import msgspec
import pytest
from children import start
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from keeping import EVENTS, files_with, made, problems, url
from made import DAY, START_NS, call
from writing import write_overlapping

from payi_middleware.events import Attribution, CallEvent, Cost
from payi_middleware.store import Store, open_store
from payi_middleware.store.compact import vacuum
from payi_middleware.store.deliveries import FORGOTTEN, Place, Rejected
from payi_middleware.store.forget import Forgotten, Person, forget, would_forget
from payi_middleware.store.prune import day_before, prune

JANE = "jane@example.com"
SPAWN = multiprocessing.get_context("spawn")


def told(event: CallEvent, **given: object) -> CallEvent:
    """The event with other members of its attribution."""
    return msgspec.structs.replace(event, attribution=msgspec.structs.replace(event.attribution, **given))


def of_jane(event: CallEvent) -> CallEvent:
    who = told(event, user_id=JANE, request_properties={"mail": JANE, "team": "red"}, use_case_id=f"case:{JANE}")
    where = msgspec.structs.replace(event.inbound, http_request_id=f"{JANE}/7")
    return msgspec.structs.replace(who, inbound=where, limits={f"per-user:{JANE}": "ok", "all": "ok"})


def with_jane() -> list[CallEvent]:
    """Some events of Jane's, and some of others that hold her id."""
    return [
        of_jane(event)
        if event.user_id == "user-3"
        else told(event, use_case_properties={"referrer": f"mailto:{JANE}", "x": "y"})
        if number % 50 == 0
        else event
        for number, event in enumerate(EVENTS)
    ]


def forgotten(store: Store, person: Person) -> Forgotten:
    """What was done in all."""
    found = Forgotten()
    for step in forget(store, person):
        found = found.plus(step)
    return found


def by_user(store: Store) -> dict[str | None, int]:
    return {row.key[0]: row.sums.calls for row in store.report(("user",)).rows}


@pytest.mark.parametrize("most_keys", [100_000, 4])
@pytest.mark.parametrize("is_pruned", [False, True])
def test_their_calls_become_nobodys(tmp_path: Path, most_keys: int, is_pruned: bool) -> None:
    """Calls, cost and all that is no name stay; the id is in no file; others' events keep everything but the id."""
    with made(tmp_path, with_jane(), most_keys=most_keys) as store:
        if is_pruned:
            for _ in prune(store, day_before(START_NS - 40 * DAY)):
                pass
        there = {event.event_id: event for event in store.events()}
        total, before = store.report(("model",)).to_dict(), by_user(store)
        would = would_forget(store, Person(JANE))

        found = forgotten(store, Person(JANE))
        vacuum(store, 5)

        assert found == would
        assert found.events == sum(event.user_id == JANE for event in there.values()) > 0
        assert found.left == ()
        assert store.report(("model",)).to_dict() == total
        if most_keys > 4:
            assert by_user(store) == {
                name: calls + (before[JANE] if name is None else 0) for name, calls in before.items() if name != JANE
            }
        for event in store.events():
            was = there[event.event_id]
            assert event.cost == was.cost
            if was.user_id == JANE:
                assert (event.user_id, event.attribution.request_properties) == (None, {"team": "red"})
                assert event.attribution.use_case_id is None
                assert (event.inbound.http_request_id, event.limits) == (None, {"all": "ok"})
            elif was.attribution.use_case_properties:
                assert event == told(was, use_case_properties={"x": "y"})
            else:
                assert event == was
        assert problems(store) == []
        assert files_with(tmp_path, JANE) == []
        assert forgotten(store, Person(JANE)) == Forgotten()


def test_their_calls_go_too(tmp_path: Path) -> None:
    """With `events` the calls are removed, and so are they from every sum."""
    with made(tmp_path, with_jane()) as store:
        calls = by_user(store)
        found = forgotten(store, Person(JANE, events=True))
        vacuum(store, 5)

        assert by_user(store) == {name: n for name, n in calls.items() if name != JANE}
        assert store.count() == len(EVENTS) - found.events
        assert problems(store) == []
        assert files_with(tmp_path, JANE) == []


@pytest.mark.parametrize("events", [False, True])
def test_of_one_application(tmp_path: Path, events: bool) -> None:
    """Another application's calls of the same person stay theirs."""
    with made(tmp_path, with_jane()) as store:
        expected = sum(event.user_id == JANE and event.application == "blog" for event in store.events())
        found = forgotten(store, Person(JANE, "shop", events))

        assert by_user(store)[JANE] == expected
        assert {event.application for event in store.events() if event.user_id == JANE} == {"blog"}
        assert problems(store) == []
        assert found.left == ()


def test_sums_of_pruned_days_are_not_told_apart_by_application(tmp_path: Path) -> None:
    with made(tmp_path, with_jane()) as store:
        for _ in prune(store, day_before(START_NS - 40 * DAY)):
            pass
        [left] = forgotten(store, Person(JANE, "shop")).left
        assert "not told apart by application" in left


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("user", [str(uuid.UUID(int=7 << 96 | 5)), "0123456789abcdef", "42", "Ä\x00-ü", "_"])
def test_ids_of_every_kind(tmp_path: Path, user: str) -> None:
    """An id that is kept packed as a UUID or as hexadecimal is found; a short one within a longer text is left as chance."""
    inside = f"for {user}."
    mine = [call(user_id=user, use_case_name="a", use_case_id=user, trace_id=user, request_properties={"k": user})]
    others = [call(user_id="other", request_properties={"who": inside}, http_request_id=user), call(user_id="third")]
    with made(tmp_path, mine + others) as store:
        assert would_forget(store, Person(user))[:2] == (1, 1)
        assert forgotten(store, Person(user))[:2] == (1, 1)

        first, second, third = store.events()
        who = first.attribution
        assert (who.user_id, who.use_case_id, who.request_properties, first.inbound.trace_id) == (None, None, {}, None)
        assert second.attribution.request_properties == ({} if len(user) >= 8 else {"who": inside})
        assert second.inbound.http_request_id is None
        assert store.of_request(user) == []
        assert third == others[1]
        assert problems(store) == []


@pytest.mark.usefixtures("anywhere")
def test_an_account_of_the_same_name_is_forgotten_and_a_tag_is_told(tmp_path: Path) -> None:
    """Who is the account too is no account any more; the id in a tag, a step or a model stays, and is told."""
    with made(tmp_path, [call(user_id="jane-4711", account_name="jane-4711", ticks=5)]) as store:
        assert forgotten(store, Person("jane-4711")).left == ()
        assert [row.key for row in store.report(("account",)).rows] == [(None,)]
        store.write([call(user_id="jane-4711", request_tags=("jane-4711", "red"))])
        store.write([call(use_case_name="a", use_case_step="for jane-4711"), call(endpoint="/v1/jane-4711")])

        found = forgotten(store, Person("jane-4711"))

        assert [where.partition(",")[0] for where in found.left] == [
            "calls",
            "tags",
            "use cases",
            "endpoints or models",
        ]
        assert by_user(store) == {None: 4}
        assert problems(store) == []


def test_corrections_before_and_after(tmp_path: Path) -> None:
    """Costs that were corrected before, and that are afterwards, are those of the same calls."""
    with made(tmp_path, with_jane()) as store:
        for ticks in (7, 9):
            for batch in store.walk():
                store.correct([(n, e, msgspec.structs.replace(e, cost=Cost(ticks, 0, ticks))) for n, e in batch])
            unattributed = store.report(("user",)).total.unattributed_calls
            forgotten(store, Person(JANE))
            assert store.report(("user",)).total.unattributed_calls == unattributed
            assert store.report(("user",)).total.cost_ticks == ticks * sum(e.cost is not None for e in store.events())
            assert problems(store) == []


def test_applications_write_meanwhile(tmp_path: Path) -> None:
    """Calls of the person that come meanwhile are forgotten too, or it is said that there were some."""
    events = with_jane()
    barrier = SPAWN.Barrier(2)
    process = SPAWN.Process(target=write_overlapping, args=(url(tmp_path), events[300:], barrier))
    made(tmp_path, events[:300]).close()
    process.start()
    with open_store(url(tmp_path), create=True, timeout=60) as store:
        barrier.wait()
        while process.is_alive():
            forgotten(store, Person(JANE))
        process.join()
        assert process.exitcode == 0
        assert forgotten(store, Person(JANE)).left == ()
        vacuum(store, 5)

        assert store.count() == len(EVENTS)
        assert by_user(store).keys() == {None, *(f"user-{n}" for n in range(9) if n != 3)}
        assert problems(store) == []
    assert files_with(tmp_path, JANE) == []


@pytest.mark.usefixtures("anywhere")
def test_numbers_are_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of the person that comes while their calls are removed goes too, and the next one is another event to who hands them over."""
    place = Place("https://a.test", "default")
    monkeypatch.setattr("payi_middleware.store.forget._AT_ONCE", 2)

    def numbers(application: Store) -> list[int]:
        found: list[int] = []
        while batch := application.undelivered(place, application.last(), 10):
            application.delivered(place, batch, [])
            found += batch.numbers
        return found

    with made(tmp_path, [call(user_id=JANE) for _ in range(3)]) as store, open_store(url(tmp_path), create=True) as app:
        assert numbers(app) == [1, 2, 3]
        meanwhile: list[int] = []

        def rest(began: float) -> None:
            if not meanwhile:
                app.write([call(user_id=JANE)])
                meanwhile.extend(numbers(app))

        monkeypatch.setattr("payi_middleware.store.forget.rest", rest)
        assert forgotten(store, Person(JANE, events=True)).events == 4
        assert meanwhile == [4]
        assert store.last() == 4
        app.write([call(user_id="bob")])
        assert numbers(app) == [5]
        assert (store.count(), problems(store)) == (1, [])


@pytest.mark.usefixtures("anywhere")
@pytest.mark.parametrize("user", [JANE, "jane"])
@pytest.mark.parametrize("events", [False, True])
def test_what_was_told_of_refusals(tmp_path: Path, user: str, events: bool) -> None:
    """No server's words tell of the person, and no refusal is left of a call that is gone; others' are as they were."""
    others = f"not {user}: janes is not known"
    told = [f"user_id: '{user}' is not known", "no such limit", others]
    calls = [call(user_id=user), call(user_id=user), call(user_id="bob"), call(user_id=user, application="shop")]
    with made(tmp_path, calls) as store:
        for place, n in ((Place("https://a.test", "default"), 3), (Place("https://a.test", "shop"), 1)):
            batch = store.undelivered(place, store.last(), 10)
            assert batch is not None
            store.delivered(place, batch, [Rejected(at, 400, str(at), told[at]) for at in range(n)])

        def left() -> list[list[tuple[str | None, str]]]:
            return [sorted((why.code, why.message) for why in found.rejections) for found in store.deliveries()]

        assert forgotten(store, Person(user, "default", events)).events == 2
        of_bob = ("2", FORGOTTEN if user == JANE else others)
        assert left() == [[of_bob] if events else [("0", FORGOTTEN), ("1", told[1]), of_bob], [("0", told[0])]]
        assert forgotten(store, Person(user, events=events)).left == ()
        assert left()[1] == ([] if events else [("0", FORGOTTEN)])
        assert store.offer_again() == len([why for found in left() for why in found])
        vacuum(store, 5)
    if user == JANE:
        assert files_with(tmp_path, JANE) == []


@pytest.mark.usefixtures("anywhere")
def test_what_is_told_of_a_refusal_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of a server that come when refusals were cleared already are told of as left, and go the next time."""
    place, calls = Place("https://a.test", "default"), [call(user_id=JANE), call(user_id="bob")]
    with made(tmp_path, calls) as store, open_store(url(tmp_path), create=True) as app:
        batch = app.undelivered(place, app.last(), 10)
        assert batch is not None
        rests: list[float] = []

        def rest(began: float) -> None:
            rests.append(began)
            if len(rests) == 2:  # sums are made anew
                app.delivered(place, batch, [Rejected(at, 400, None, f"this is not {JANE}") for at in range(2)])

        monkeypatch.setattr("payi_middleware.store.forget.rest", rest)
        found = forgotten(store, Person(JANE, events=True))
        assert found.left == ("what servers told of calls that they refused",)
        assert store.deliveries()[0].rejected == 1
        assert forgotten(store, Person(JANE, events=True)).left == ()


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """Killed with -9 after each of its steps, it can be done again, and then all is forgotten."""
    made(tmp_path, with_jane()).close()
    for step in range(1, 8):
        process = start(
            """
            import os, signal, sys
            from payi_middleware.store import open_store
            import payi_middleware.store.forget as forget
            forget._AT_ONCE = 20
            with open_store(sys.argv[1], create=True) as store:
                for step, _ in enumerate(forget.forget(store, forget.Person(sys.argv[2])), 1):
                    if step == int(sys.argv[3]):
                        os.kill(os.getpid(), signal.SIGKILL)
            """,
            url(tmp_path),
            JANE,
            step,
        )
        process.communicate()
        assert process.returncode in (0, -signal.SIGKILL)
    with open_store(url(tmp_path), create=True) as store:
        assert forgotten(store, Person(JANE)).left == ()
        vacuum(store, 5)
        assert problems(store) == []
        assert store.count() == len(EVENTS)
    assert files_with(tmp_path, JANE) == []


_texts = st.one_of(st.just(JANE), st.just(f"x {JANE} y"), st.just(f"a{JANE}"), st.text(max_size=12))


@with_settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.builds(
            Attribution,
            user_id=st.one_of(st.none(), _texts),
            account_name=st.one_of(st.none(), _texts),
            request_properties=st.dictionaries(_texts, _texts, max_size=3),
            use_case_id=st.one_of(st.none(), _texts),
            limit_ids=st.lists(_texts, max_size=2).map(tuple),
        ),
        max_size=12,
    )
)
def test_whatever_is_told(tmp_path_factory: pytest.TempPathFactory, told: list[Attribution]) -> None:
    """No part of an event tells of the person afterwards, but within a longer word."""
    events = [call(user_id=None) for _ in told]
    events = [msgspec.structs.replace(event, attribution=who) for event, who in zip(events, told, strict=True)]
    with made(tmp_path_factory.mktemp("store"), events) as store:
        forgotten(store, Person(JANE))
        for event in store.events():
            assert all(part == f"a{JANE}" or part is None or JANE not in part for part in parts(event.attribution))
        assert problems(store) == []


def parts(who: Attribution) -> list[str | None]:
    """The texts of an attribution, but for a user or an account that only begin or end with the id."""
    named = [name for name in (who.user_id, who.account_name) if name == JANE]
    return [*named, who.use_case_id, *who.limit_ids, *who.request_properties, *who.request_properties.values()]
