"""Being stopped politely: Ctrl-C and SIGTERM (what a cluster sends before it kills) are obeyed between two steps."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

Handler = Callable | int | None
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Which signal has asked this process to stop: its number, or 0."""

    def __init__(self, before: Mapping[int, Handler]) -> None:
        self.signal, self.before = 0, before

    def obey(self, number: int) -> NoReturn:
        """Do what this signal, which this process or another one got, would have done at once: KeyboardInterrupt, or
        the process's end."""
        if number in self.before:
            signal.signal(number, self.before[number])
            signal.raise_signal(number)
        raise KeyboardInterrupt  # nobody here obeys that signal: another process got it, and none can go on alone


@contextmanager
def deferred() -> Iterator[Stop]:
    """Inside, the first signal is only noted; a second one of the kind acts at once.

    A signal that the process ignores goes on being ignored. Handlers belong to a process's main thread: in another
    thread nothing is deferred.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {each: signal.getsignal(each) for each in SIGNALS} if main else {}
    before = {each: handler for each, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    stop = Stop(before)

    def note(number: int, frame: object) -> None:
        stop.signal = number
        signal.signal(number, before[number])

    for each in before:
        signal.signal(each, note)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
