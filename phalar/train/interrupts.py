"""Being stopped politely: Ctrl-C and SIGTERM (what a cluster sends before it kills) are obeyed between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def deferred() -> Iterator[list[int]]:
    """Inside, the first signal of a kind is only noted, in the list that it gives; a second one acts at once.

    A signal that the process ignores goes on being ignored. Handlers belong to a process's main thread: in another
    thread nothing is deferred.
    """
    asked, before = [], {}

    def note(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    for each in (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ():
        if signal.getsignal(each) not in (signal.SIG_IGN, None):
            before[each] = signal.signal(each, note)
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def obey(number: int) -> NoReturn:
    """Do what this signal, which this process or another one got, does: KeyboardInterrupt, or the process's end."""
    if threading.current_thread() is threading.main_thread():
        signal.raise_signal(number)
    raise KeyboardInterrupt  # nobody here obeys that signal: another process got it, and none can go on alone
