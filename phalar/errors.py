"""What this package says when it is given something it cannot use.

One family, so that a program can catch it and the command line can print it as one line without a traceback.
"""


class InputError(ValueError):
    """What came in cannot be used: the message names the value and says what would work."""


class RunError(RuntimeError):
    """The work itself went wrong (a loss that is not finite, a broken cache): the message says how to go on."""


class PhalarWarning(UserWarning):
    """Something was done, but not quite what was asked; the message says what."""


class SilentAudioWarning(PhalarWarning):
    """An input has no sound in it, so its score says nothing."""
