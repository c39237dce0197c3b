"""Exceptions as types and places in the code, never as messages: a library's message may quote what was sent."""

import asyncio
import logging
import sys
import traceback
from typing import Any

FRAMES_MAX = 30  # of a traceback, the innermost: a recursion would fill the log
CALLBACK = "Exception in callback"  # asyncio goes on with the call, arguments and all

log = logging.getLogger("tolqyn.trace")


def places(error: BaseException) -> str:
    """`KeyError at file:line function, ...`, outermost place first, and in the same way what it came from."""
    said: list[str] = []
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        frames = traceback.extract_tb(link.__traceback__)[-FRAMES_MAX:]
        where = ", ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
        said.append(type(link).__name__ + (f" at {where}" if where else ""))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return " from ".join(said)


def _in_loop(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For what nobody awaited. Of the context only asyncio's own words: the rest is `repr`s, of a callback's arguments too."""
    error = context.get("exception")
    message = str(context.get("message", ""))
    said = CALLBACK if message.startswith(CALLBACK) else message
    log.error("asyncio: %s: %s", said, "no exception" if error is None else places(error))


def _unraisable(hook: "sys.UnraisableHookArgs") -> None:
    """For exceptions where none can be raised: in callbacks of compiled code and in finalizers."""
    log.error("an exception that could not be raised: %s", places(hook.exc_value) if hook.exc_value else "none")


def set_up_hooks(loop: asyncio.AbstractEventLoop) -> None:
    """Log what the loop and the interpreter would print with messages and `repr`s."""
    loop.set_exception_handler(_in_loop)
    sys.unraisablehook = _unraisable
