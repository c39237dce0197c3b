"""Child processes that never outlive their parent, whatever kills it."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None, use_errno=True)


def dies_with_parent(number: signal.Signals) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends the child this signal when the thread that started it ends, even by SIGKILL.

    Start such a child from a thread that lives as long as it should.
    """
    parent = os.getpid()

    def set_death_signal() -> None:
        if hasattr(_LIBC, "prctl"):  # Linux only; elsewhere `tolqyn down` finds what a killed supervisor left
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(number))
            if os.getppid() != parent:  # it died before we asked
                os._exit(1)

    return set_death_signal
