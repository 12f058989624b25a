"""The one place that imports the libraries: in the right order, with the right environment, and quiet.

Importing this module imports none of them; `libraries()` does, once. What backends and plugins bring of their own,
`half` imports.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from aquatint.catalog.packages import OF_PROCESSORS, installing, misfit
from aquatint.catalog.quantizer_backends import backends, is_installed
from aquatint.plan.steps import Json
from aquatint.runtime.engine import EngineError
from aquatint.runtime.metadata import installed_version
from aquatint.runtime.torch_engine import memory

PACKAGES = (
    "torch", "diffusers", "transformers", "accelerate", "bitsandbytes", "sdnq", "safetensors", "tokenizers",
    # With it transformers shrinks pictures that a model is to see by other means, and to other numbers, than without.
    OF_PROCESSORS,
)  # fmt: skip
"""What results depend on; their versions are recorded with every run."""

ENVIRONMENT = {
    # Read while sdnq is imported: it compiles a test kernel at once, and one kernel per shape of weight later.
    "SDNQ_USE_TORCH_COMPILE": "0",
    # Nothing is fetched while a plan runs, and a tokenizer's loading must not ask the hub what model it belongs to.
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # A tokenizer's own threads deadlock after a fork and make nothing faster here.
    "TOKENIZERS_PARALLELISM": "false",
    # Transformers reads weights by threads of its own; where memory has run out Python waits forever for one to start.
    "HF_DEACTIVATE_ASYNC_LOAD": "1",
    # It warns while it is imported, before its verbosity can be set.
    "DIFFUSERS_VERBOSITY": "error",
}
"""Set before the first import, where the user has not set it."""


@dataclass(frozen=True, slots=True)
class Libraries:
    """The imported modules. `sdnq` is None where that extra is not installed."""

    torch: Any
    diffusers: Any
    transformers: Any
    bitsandbytes: Any
    sdnq: Any | None


@cache
def libraries() -> Libraries:
    """Import the libraries, which takes seconds, and return them."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # It reads its environment at its import, which may have been before: scripts with hub ids are planned with it.
    hub: Any = importlib.import_module("huggingface_hub.constants")
    hub.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE or os.environ["HF_HUB_OFFLINE"] == ENVIRONMENT["HF_HUB_OFFLINE"]
    # bitsandbytes tells for every layer that inputs are cast; all tell at import which kernels they lack. torchao comes
    # in with diffusers where it is installed, and makes torch warn of its own use.
    for name in ("bitsandbytes", "sdnq", "torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), memory.collector_paused(stays=True):
        warnings.simplefilter("ignore")
        torch = importlib.import_module("torch")
        _keep_out_what_fails(OF_PROCESSORS)
        diffusers = importlib.import_module("diffusers")
        transformers = importlib.import_module("transformers")
        bitsandbytes = importlib.import_module("bitsandbytes")
        sdnq = _sdnq()
    _silence(diffusers, transformers)
    return Libraries(torch, diffusers, transformers, bitsandbytes, sdnq)


_KEPT_OUT: dict[str, str] = {}
"""Packages that are there and can't be imported, and what was raised."""


def _keep_out_what_fails(package: str) -> None:
    """Let a package that is there and can't be imported be one that isn't there, for all that comes after.

    transformers only looks whether there is one, and then none of its models can be imported, whoever needs it or not.
    """
    if package in sys.modules or not is_installed(package):
        return
    try:
        importlib.import_module(package)
    except Exception as error:  # whatever it is: of another torch it is a RuntimeError, an OSError or an AttributeError
        _KEPT_OUT[package] = f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else repr(error)
        for name in [each for each in sys.modules if each.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.modules[package] = None  # type: ignore[assignment]  # Python's own way to say that there is none


def require_for(class_name: str, package: str) -> None:
    """Raise `EngineError` where `package`, which a class of transformers needs, isn't there or was kept out."""
    if package in _KEPT_OUT:
        message = f"`{class_name}` needs `{package}`, which can't be imported: {_KEPT_OUT[package]}"
        raise EngineError(message, f"install one that fits: `{installing(package)}`")
    if not is_installed(package):
        message = f"`{class_name}` needs `{package}`, which is not installed"
        raise EngineError(message, f"install it: `{installing(package)}`")


def _sdnq() -> Any | None:
    """Return sdnq, an extra, or None where it is not installed."""
    # Before transformers loads anything: sdnq registers itself there. Without that a component stored by sdnq loads
    # as if its weights were plain, with no error and a wrong picture.
    try:
        return importlib.import_module("sdnq")
    except ModuleNotFoundError as error:
        if error.name != "sdnq":
            raise
        return None


def require(package: str, what: str, extra: str) -> None:
    """Raise `EngineError` where `package`, which `what` needs and the extra called `extra` brings, isn't installed."""
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise EngineError(
            f"{what} needs `{package}`, which is not installed", f'install it: `pip install "aquatint[{extra}]"`'
        ) from None


@cache
def half(name: str) -> Any:
    """Return the module called `name`, the half that runs of a backend or a plugin. Raises `EngineError`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise EngineError(f"`{name}` can't be imported: {error}", "update the package that brings it") from error


def _silence(diffusers: Any, transformers: Any) -> None:
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
        # What there is to say goes through `heard`, or is an error.
        library.utils.logging.disable_default_handler()


@contextmanager
def heard(warnings: list[str]) -> Iterator[None]:
    """Add to `warnings` what diffusers logs in the body of a prompt that it cuts off; all else stays unheard."""
    logger = logging.getLogger("diffusers")
    listener = _Listener(warnings)
    level = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(listener)


class _Listener(logging.Handler):
    """Keeps the one warning that is about the user's own text."""

    def __init__(self, warnings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if "truncated" in text and text not in self.warnings:
            self.warnings.append(text[:1].lower() + text[1:])


def versions() -> dict[str, Json]:
    """Return the versions of the installed packages, None for one that is not there or can't be imported."""
    names = dict.fromkeys((*PACKAGES, *(each.distribution for each in backends())))
    return {name: None if name in _KEPT_OUT or misfit(name) else installed_version(name) for name in names}
