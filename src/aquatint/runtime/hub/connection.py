"""Speaking with the hub: whether that is allowed, and what it means when it goes wrong."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request
from aquatint.runtime.hub.cache import cache_folder


def is_offline(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether the environment forbids the network, in the words of huggingface_hub and transformers."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(environment.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in names)


@contextmanager
def online() -> Iterator[None]:
    """Let huggingface_hub use the network in the body, and say nothing: loading must not, and switches it off."""
    from huggingface_hub import constants

    logger = logging.getLogger("huggingface_hub")
    before, level = constants.HF_HUB_OFFLINE, logger.level
    constants.HF_HUB_OFFLINE = False
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        logger.setLevel(level)


@contextmanager
def explained(request: Request) -> Iterator[None]:
    """Raise `CheckpointError` for what goes wrong in the body; no answer of the hub is quoted, and no login."""
    from huggingface_hub import constants, errors

    name = request.repository
    log_in = "log in with `hf auth login`, or set `HF_TOKEN`"
    try:
        yield
    except errors.GatedRepoError:
        raise CheckpointError(
            "gated-model", f"`{name}` is gated: the hub gives it to those who have accepted its conditions",
            f"accept them at {constants.ENDPOINT}/{name}, and {log_in}",
        ) from None  # fmt: skip
    except errors.RevisionNotFoundError:
        raise CheckpointError(
            "missing-revision", f"`{name}` has no revision `{request.revision or 'main'}` on the hub",
            f"name a branch, a tag or a commit that {constants.ENDPOINT}/{name} has",
        ) from None  # fmt: skip
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise CheckpointError(
            "missing-model", f"`{name}` is neither a folder nor a repository of the hub, unless a private one",
            f"is it spelt as on {constants.ENDPOINT}? for a private one, {log_in}",
        ) from None  # fmt: skip
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise CheckpointError("gated-model", f"the hub doesn't let your login read `{name}`", log_in) from None
        raise unreachable(name, f"the hub answers with the status {status}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_room(f"the disk of `{cache_folder()}` is full") from None
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise CheckpointError("unwritable-file", f"can't write into `{cache_folder()}`",
                                  "put the cache elsewhere with `HF_HOME`") from None  # fmt: skip
        raise unreachable(name, "the connection has failed") from None
    except ValueError:
        raise unreachable(name, "its answer is not in the hub's form") from None
    except _http_error() as error:
        what = "it takes too long to answer" if "Timeout" in type(error).__name__ else "there is no connection"
        raise unreachable(name, what) from None


def _http_error() -> type[Exception]:
    """Return the base of the errors of the library that huggingface_hub speaks HTTP with, which is not always one."""
    from huggingface_hub import errors

    bases: tuple[type[Exception], ...] = errors.HfHubHTTPError.__bases__
    return next(kind for kind in bases if not issubclass(kind, OSError))


def unreachable(name: str, why: str) -> CheckpointError:
    from huggingface_hub import constants

    return CheckpointError(
        "unreachable-hub", f"`{name}` can't be fetched from {constants.ENDPOINT}: {why}",
        "try again: what has come is kept, and fetching goes on from there",
    )  # fmt: skip


def no_room(message: str) -> CheckpointError:
    return CheckpointError("too-little-disk", message, "make room, or put the cache on another disk with `HF_HOME`")
