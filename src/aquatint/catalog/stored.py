"""How a component's weights are quantized in its files, from the configuration that the libraries write beside them.

Which settings a quantizer has is in `quantizers`; what becomes of a stored component in a plan is in the language's
`resolution`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aquatint.catalog import quantizers
from aquatint.catalog.quantizer_backends import backend, backends


@dataclass(frozen=True, slots=True)
class Stored:
    """A `quantization_config`: its `quant_method`, the backend of that method, and that backend's canonical options.

    `backend` is None for a method that no backend has, and `options` are empty then. They are not `whole` where the
    configuration says what the backend's settings can't.
    """

    method: str
    backend: str | None
    options: Mapping[str, Any]
    whole: bool = True

    @property
    def name(self) -> str:
        """What messages and tables call it: `sdnq int8+conv`, or the method where no more is known."""
        if self.backend is None:
            return self.method
        return quantizers.label(self.backend, self.options) if self.whole else self.backend


def read(config: Mapping[str, Any]) -> Stored | None:
    """Return how a component with this `config.json` is stored quantized, None if it isn't."""
    configuration = config.get("quantization_config")
    if not isinstance(configuration, Mapping):
        return None
    method = configuration.get("quant_method")
    if method is None and (configuration.get("load_in_4bit") or configuration.get("load_in_8bit")):
        method = "bitsandbytes"  # as transformers does with configurations older than `quant_method`
    if not isinstance(method, str):
        return None
    found = next((each for each in backends() if each.method == method), None)
    if found is None:
        return Stored(method, None, {})
    if found.stored_options is None:
        return Stored(method, found.name, found.canonical({}), False)
    told = found.by_setting(found.stored_options(configuration))
    options = {name: value for name, value in told.items() if name not in found.untraced}
    # A setting that another one makes idle is no matter here: the libraries write all of them.
    problems = quantizers.problems(found.name, options)
    wrong = {each.setting for each in problems if each.code != "contradicting-settings"}
    sound = {name: value for name, value in options.items() if name not in wrong}
    return Stored(method, found.name, found.canonical(sound), not wrong)


def differences(stored: Stored, backend_name: str, options: Mapping[str, Any]) -> list[str]:
    """Return the settings in which a quantizer says something else than `stored`, `backend` if it is of another one.

    A list of modules, to which the libraries add when they quantize, agrees if the stored one has all of its names.
    """
    found = backend(backend_name)
    if found is None or stored.backend != found.name or not stored.whole:
        return ["backend"]
    wanted = found.canonical(options)
    return [
        setting.name for setting in found.schema.settings
        if setting.name not in found.untraced
        and not _agree(setting.type, wanted[setting.name], stored.options[setting.name])
    ]  # fmt: skip


def _agree(type: str, wanted: Any, held: Any) -> bool:
    if type == "names":
        return set(wanted or ()) <= set(held or ())
    return bool(wanted == held)


def unreadable(backend_name: str | None, options: Mapping[str, Any], library: str) -> tuple[str, ...]:
    """Return the settings with which weights, once stored, are not read back as they were.

    `library` is that of the component; `options` are canonical.
    """
    found = backend(backend_name) if backend_name is not None and options else None
    return () if found is None else found.unreadable(options, library)


def rounded(backend_name: str, options: Mapping[str, Any], library: str, dtype: str) -> Mapping[str, Any]:
    """Return the settings that would have to be others for stored weights to be read back to the last bit, and which.

    `library` is that of the component, `dtype` the torch dtype that it is loaded as; `options` are canonical.
    """
    found = backend(backend_name)
    return {} if found is None else found.rounded(options, library, dtype)
