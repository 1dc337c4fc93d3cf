"""Asking Valkey or Redis: one script, one argument, one answer, over connections of the `redis` client library.

The library knows addresses, TLS, users and clusters. A command it packs and unpacks in more time than the network takes, so that
is done here: of the protocol it needs a list of byte strings one way, and one byte string the other.

A script is idempotent, as every step is by its event, so a connection that broke is tried once more. Errors become
`LedgerError`s that name the cure, never a password.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from ... import health
from ...exceptions import LedgerError
from .address import Address
from .scripts import Script

__all__ = ["Client", "within"]

_LEFT = (2, 1, 0)
"""Tries that are left after each."""
_UNKNOWN = ("Function not found", "unknown command", "unknown subcommand")
"""How servers begin to say that there is no such function, or that they have none at all."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Client:
    """Connections that are made when they are needed, and anew when they broke; to be used by several threads.

    Args:
        address: Where.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self._library: Any = None
        self._server: Any = None
        self._idle: deque[Any] = deque()
        self._pid = 0
        self._heads: dict[str, bytes] = {}
        """Of commands, all but the last argument, by function."""
        self._functions = True
        """Whether the server has functions (Redis 7, Valkey), and lets this user make them."""

    def ask(self, script: Script, asked: list[Any]) -> Any:
        """Run a script over the ledger's keys; its answer.

        Raises:
            LedgerError: There is none.
        """
        redis = self._library or _library()
        self._library = redis
        try:
            return _decode(self._tried(redis, script, _packed(asked)))
        except (redis.RedisError, redis.exceptions.RedisClusterException, OSError) as error:
            raise LedgerError(f"ledger {self.address.shown} {_cure(redis, error, self.address)}") from error
        except UnicodeEncodeError as error:
            raise LedgerError(f"ledger {self.address.shown}: a name or key is no Unicode text") from error

    def close(self) -> None:
        """Close the connections."""
        self._server = None
        idle, self._idle = self._idle, deque()
        with contextlib.suppress(IndexError):  # another thread may take one meanwhile; it is that thread's to close
            while True:
                idle.pop().disconnect()

    def _tried(self, redis: Any, script: Script, asked: bytes) -> bytes:
        """What the server answers, if need be at another try: with another connection, or another node."""
        for left in _LEFT:
            try:
                return self._answered(redis, script, asked)
            except (redis.exceptions.AuthenticationError, redis.exceptions.BusyLoadingError):
                raise
            except (redis.ConnectionError, redis.exceptions.ReadOnlyError, redis.exceptions.AskError):
                # It broke, or its node has become a replica or given the keys away: who has them now is asked anew.
                self.close()
                if not left:
                    raise
        raise AssertionError("unreachable")

    def _answered(self, redis: Any, script: Script, asked: bytes) -> bytes:
        connection = self._taken(redis)
        try:
            if script.function and self._functions:
                answer = self._called(redis, connection, script, asked)
            else:
                answer = self._evaluated(redis, connection, script, asked)
        except redis.ResponseError:
            raise
        except BaseException:  # what would be read next may be the answer to this
            connection.disconnect()
            raise
        finally:
            self._idle.append(connection)  # one that is closed connects when it is used
        return answer

    def _called(self, redis: Any, connection: Any, script: Script, asked: bytes) -> bytes:
        head = self._heads.get(script.function)
        if head is None:
            head = self._heads[script.function] = _command("FCALL", script.function, 1, self.address.key, more=1)
        command = b"%b$%d\r\n%b\r\n" % (head, len(asked), asked)
        try:
            return _exchanged(connection, command)
        except redis.ResponseError as error:
            forbidden = isinstance(error, redis.exceptions.NoPermissionError)
            if not forbidden and not str(error).startswith(_UNKNOWN):
                raise
        try:
            if not forbidden:
                _said(connection, "FUNCTION", "LOAD", "REPLACE", script.library)
                return _exchanged(connection, command)
        except (redis.exceptions.ReadOnlyError, redis.exceptions.OutOfMemoryError):
            raise
        except redis.ResponseError:
            pass
        self._functions = False
        return self._evaluated(redis, connection, script, asked)

    def _evaluated(self, redis: Any, connection: Any, script: Script, asked: bytes) -> bytes:
        try:
            return _said(connection, "EVALSHA", script.sha, 1, self.address.key, asked)
        except redis.exceptions.NoScriptError:  # the server is new, or its scripts were flushed
            return _said(connection, "EVAL", script.source, 1, self.address.key, asked)

    def _taken(self, redis: Any) -> Any:
        """A connection that nobody uses."""
        if self._pid != os.getpid():  # a forked child: its parent's connections are not its own
            self._server, self._idle, self._pid = None, deque(), os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            # None of those that the library keeps count of: whoever drops its client would close them all.
            return self._pool(redis, self._server or self._connected(redis)).make_connection()
        except (TypeError, ValueError) as error:
            raise LedgerError(
                f"ledger {self.address.shown}: the client library does not know an option of its URL ({error})"
            ) from error

    def _pool(self, redis: Any, server: Any) -> Any:
        if not isinstance(server, redis.RedisCluster):
            return server.connection_pool
        node = server.get_node_from_key(self.address.key)
        return server.get_redis_connection(node).connection_pool

    def _connected(self, redis: Any) -> Any:
        options: dict[str, Any] = {
            "socket_timeout": self.address.timeout,
            "socket_connect_timeout": self.address.timeout,
            "protocol": 2,  # no word more than is needed when a connection is made
        }
        # Whether to try again is decided here, where it is known what may be done twice.
        never = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
        server = redis.Redis.from_url(self.address.url, retry=never, **options)
        try:
            told = server.info()
        except redis.ResponseError:  # a user who may not ask: the server is taken for a plain one
            told = {}
        if told.get("maxmemory") and told.get("maxmemory_policy") != "noeviction":
            health.note(
                "ledger_evicts",
                "ledger %s may drop what it counts when its memory is full; set maxmemory-policy to noeviction",
                self.address.shown,
            )
        if told.get("cluster_enabled"):
            server.close()
            server = redis.RedisCluster.from_url(self.address.url, **options)
        self._server = server
        return server


def _packed(values: Sequence[Any]) -> bytes:
    """Some values, one after another: a list to put them in takes the server longer to make than all else of them."""
    return _encode(values)[1 if len(values) < 16 else 3 :]  # without the head, which tells how many they are


def within(values: Sequence[Any]) -> msgspec.Raw:
    """The same as one value, a text, of others."""
    inner = _packed(values)
    return msgspec.Raw(b"\xdb%b%b" % (len(inner).to_bytes(4, "big"), inner))


def _said(connection: Any, *command: Any) -> bytes:
    """Send a command; the answer."""
    return _exchanged(connection, _command(*command))


def _command(*command: Any, more: int = 0) -> bytes:
    """A command, or its beginning if there are `more` arguments."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in command]
    said = b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts])
    return b"*%d\r\n%b" % (len(parts) + more, said)


def _exchanged(connection: Any, command: bytes) -> bytes:
    """Raises ResponseError if the server refuses the command."""
    connection.send_packed_command([command])
    answer: bytes = connection.read_response()
    return answer


def _library() -> Any:
    try:
        import redis
        import redis.backoff
        import redis.exceptions
        import redis.retry
    except ModuleNotFoundError as error:
        if error.name != "redis":
            raise
        raise LedgerError(
            "a ledger in Valkey or Redis needs the client library; `pip install 'payi-middleware[valkey]'`"
        ) from error
    return redis


def _cure(redis: Any, error: Exception, address: Address) -> str:
    """What an error means and what helps. The most specific first: the library's classes are each other's children."""
    kinds = redis.exceptions
    told = str(error)
    cures: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
        ((kinds.AuthenticationError, kinds.AuthorizationError), "refuses the user or the password; check its URL"),
        (
            (kinds.NoPermissionError,),
            "does not let this user run scripts over keys of `payi:*`; allow it in the server's ACL",
        ),
        ((kinds.BusyLoadingError,), "is loading its data; it answers when that is done"),
        ((kinds.TimeoutError,), f"did not answer within {address.timeout:g} s; see to the server, or set `?timeout=`"),
        ((kinds.ReadOnlyError,), "is a replica, which cannot be written; name the primary"),
        ((kinds.OutOfMemoryError,), "is full; raise its maxmemory"),
        ((redis.ConnectionError, OSError), "cannot be reached; start the server, or check host and port"),
        ((kinds.ClusterDownError, kinds.RedisClusterException), "is a cluster that is down; see to its nodes"),
    )
    if "CERTIFICATE_VERIFY_FAILED" in told:
        return "has a certificate that is not trusted; name the CA that signed it by `?ssl_ca_certs=`"
    for classes, cure in cures:
        if isinstance(error, classes):
            return cure
    if "OOM" in told:
        return "is full; raise its maxmemory"
    return f"refused ({told[:200]})"
