"""How a process that serves is told to stop, and how it leaves when it cannot stop in order."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

__all__ = ["leave", "stopped_by_signals"]

log = structlog.get_logger(__name__)

_INTERRUPTED = 130


@contextmanager
def stopped_by_signals(stop: Callable[[], None], *, within: float) -> Iterator[None]:
    """SIGTERM or Ctrl-C calls ``stop`` in the event loop; a Ctrl-C after that ends the process where it stands.

    The process also ends where it stands when it still runs ``within`` seconds after the first signal, whatever a
    plugin does in it or to its event loop. Neither loses anything: store and broker are made for that.

    Args:
        stop: sets an event, or the like.
        within: seconds; more than an orderly stop takes.
    """
    loop, asked = asyncio.get_running_loop(), False

    def handle(number: int, _: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            os._exit(_INTERRUPTED)
        if not asked:
            asked = True
            _in_a_thread(within, _cut_short)
            loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(
    code: int, last_words: Callable[[], object], *, within: float = 5.0, end: Callable[[int], object] = os._exit
) -> None:
    """End the process where it stands, from any thread, whatever the others do.

    Args:
        code: exit code.
        last_words: logs why.
        within: seconds that it has, for whoever is to be stopped may hold the log's lock.
        end: how a process ends.
    """
    speaking = _in_a_thread(0, last_words)
    speaking.join(within)
    end(code)


def _in_a_thread(seconds: float, work: Callable[[], object]) -> threading.Thread:
    """Do the work later, if the process still runs then."""
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()
    return timer


def _cut_short() -> None:
    leave(0, lambda: log.warning("stop_cut_short"))
