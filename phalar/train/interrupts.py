"""Being stopped politely: Ctrl-C and SIGTERM (what a cluster sends before it kills) are obeyed between two steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop:
    """Whether a signal has asked to stop, and which."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def obey(self) -> None:
        """Do what the signal would have done at once: KeyboardInterrupt, or the process's end."""
        signal.raise_signal(self.signal)


@contextmanager
def deferred() -> Iterator[Stop]:
    """Inside, the first signal is only noted; a second one of the kind acts at once. Handlers belong to a process's
    main thread: in another thread nothing is deferred."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {each: signal.getsignal(each) for each in SIGNALS}

    def note(number: int, frame: object) -> None:
        stop.signal = number
        signal.signal(number, before[number])

    for each in SIGNALS:
        signal.signal(each, note)
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
