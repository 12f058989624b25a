"""What a run says about a step that could not be carried out."""

from __future__ import annotations

import errno
import logging

from aquatint.runtime.engine import EngineError

_log = logging.getLogger(__name__)


def explain(error: Exception, doing: str) -> tuple[str, str | None]:
    """Return message and help for `error`, which came up while `doing` something ("loading `unet`").

    What is neither the script's nor the machine's fault is called a bug, and its traceback is logged.
    """
    match error:
        case EngineError():
            return str(error), error.help
        case MemoryError():
            return f"out of memory while {doing}", "use a quantizer of fewer bits, a smaller size or a smaller model"
        case OSError():
            where = f" (`{error.filename}`)" if error.filename else ""
            return f"{reason(error)}{where} while {doing}", _help(error)
        case _:
            _log.debug("while %s", doing, exc_info=error)
            return (
                f"a bug in aquatint while {doing}: {type(error).__name__}: {error}",
                "this is not the script's fault: please report it with the script and this message",
            )


def reason(error: OSError) -> str:
    """Return in a few words what the operating system refused, such as "no space left on device"."""
    text = error.strerror or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def cannot(action: str, error: OSError) -> EngineError:
    """Return the error that `action` ("write `a.png`") was refused by the operating system."""
    return EngineError(f"can't {action}: {reason(error)}", _help(error))


def _help(error: OSError) -> str | None:
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "free some space and run again; the files that were written are whole"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "choose a folder that you may write to"
        case errno.ENAMETOOLONG:
            return "choose a shorter name"
        case _:
            return None
