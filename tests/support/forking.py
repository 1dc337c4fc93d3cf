"""Runs something in a forked child."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(action: Callable[[], str]) -> str:
    """What `action` returns, or the repr of what it raises, in a child that ends without cleaning up."""
    reading, writing = os.pipe()
    gc.disable()  # in the child: what another test left may wait, when it is collected, for a thread that is not there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads are no matter here
        pid = os.fork()
    if pid == 0:
        try:
            answer = action()
        except BaseException as error:
            answer = repr(error)
        os.write(writing, answer.encode())
        os._exit(0)
    gc.enable()
    os.close(writing)
    with os.fdopen(reading) as answers:
        told = answers.read()
    os.waitpid(pid, 0)
    return told
