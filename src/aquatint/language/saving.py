"""What `save` does at plan time: a model becomes a step that writes it as a checkpoint.

How options of quantizers survive that is the backends' affair; writing the folder is the run's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from aquatint.catalog.gguf_files import is_gguf
from aquatint.catalog.models import SAVE
from aquatint.catalog.stored import rounded, unreadable
from aquatint.catalog.tasks import first_of
from aquatint.diagnostics import Diagnostics, Label, did_you_mean
from aquatint.language.blocks import Blocks
from aquatint.language.names import inside
from aquatint.language.places import place_of
from aquatint.language.resolution import Resolved, Resolver
from aquatint.language.scope import Scope
from aquatint.language.values import UNKNOWN, Model, Quantizer, Setting, Unknown, known, shown, type_name
from aquatint.language.why import Statement
from aquatint.plan.builder import PlanBuilder
from aquatint.plan.steps import Component
from aquatint.source import Span
from aquatint.syntax import nodes as n

_BESIDE = {"lora": "LoRAs", "textual_inversion": "textual inversions", "ip_adapter": "IP-Adapters"}
# What a checkpoint has no place for.

Claim = Callable[[str, Span], bool]
"""Says whether no other statement writes to a path, and reports the one that does."""


class Saving:
    """Carries out `save` for one plan."""

    def __init__(
        self, diagnostics: Diagnostics, blocks: Blocks, resolver: Resolver, builder: PlanBuilder, claim: Claim
    ) -> None:
        self.diagnostics = diagnostics
        self.blocks = blocks
        self.resolver = resolver
        self.builder = builder
        self.claim = claim
        self.told: list[Statement] | None = None

    def save(self, node: n.Action, target: Any, scope: Scope) -> Unknown | None:
        """Add the step of a `save`."""
        settings = self.blocks.known(self.blocks.given(node.block, scope, "statement"), SAVE)
        # Each check speaks, so that all mistakes of a statement are told at once.
        sound = settings is not None and self._is_good_place(settings, node)
        sound = settings is not None and self._is_good_variant(settings.get("variant")) and sound
        if isinstance(target, Unknown):
            return UNKNOWN
        at = node.targets[0].span
        if not isinstance(target, Model):
            return self._error("wrong-type", f"`save` takes a model, not {type_name(target)}", at)
        target = self._without_adapters(target, at)
        if further := next((role for role in target.parts if first_of(role)), None):
            message = f"`{target.name}` has several {first_of(further)}s, which a checkpoint has no places for"
            help = f"save the model without: `save ({target.name} with {{ {further}: none }}) {{ ... }}`"
            return self._error("not-savable", message, at, help=help)
        # What lies on a disk is not offloaded, and hooks would be in the way.
        kept = {name: setting for name, setting in target.settings.items() if name != "offload"}
        whole = len(kept) == len(target.settings)
        resolved = self.resolver.resolve(target if whole else replace(target, settings=MappingProxyType(kept)))
        if resolved is None or settings is None:
            return UNKNOWN
        roles = self._roles(settings, resolved, target)
        sound = self._reads_back(target, resolved, None if isinstance(roles, Unknown) else roles, at) and sound
        if not sound or isinstance(roles, Unknown):
            return UNKNOWN
        self._warn_of_rounding(target, resolved, roles, at)
        path = os.path.normpath(settings["to"].value)
        if not self.claim(path, settings["to"].span):
            return UNKNOWN
        self.resolver.sources.saved.setdefault(path, node.span)
        self.builder.add_pipeline(resolved.pipeline, resolved.components)
        step = self.builder.save(
            pipeline=resolved.pipeline.key, model=target.name, quantizers=dict(resolved.quantizers), roles=roles,
            path=path, variant=known(settings, "variant"), max_shard_size=known(settings, "max_shard_size"),
            place=place_of(node.span), statement=node.span.text, span=node.verb.span,
        )  # fmt: skip
        if self.told is not None:
            turn = self.blocks.expressions.names_of_turn()
            device = self.blocks.world.device
            self.told.append(Statement(step, "save", node.span, (path,), target, settings, resolved, device, turn))
        return None

    def _without_adapters(self, model: Model, at: Span) -> Model:
        """Return `model` with what its components are without adapters, and warn of those that it has."""
        kinds = [kind for kind in _BESIDE if model.adapters.get(kind)]
        if not kinds:
            return model
        named = " and ".join(_BESIDE[kind] for kind in kinds)
        without = ", ".join(f"{kind}: none" for kind in kinds)
        self.diagnostics.warning(
            "adapters-left-out", f"the {named} of `{model.name}` stay beside its weights, and are not saved with them",
            at, help="give them to the saved model again; this says the same: "
            f"`save ({model.name} with {{ {without} }}) {{ ... }}`",
        )  # fmt: skip
        return replace(model, adapters=MappingProxyType({}))

    def _roles(self, settings: Mapping[str, Setting], resolved: Resolved, model: Model) -> list[str] | Unknown | None:
        """Return the roles that `components` names in the pipeline's order, None for all of them."""
        listed = settings.get("components")
        if listed is None:
            return None
        there = [role for role, key in resolved.pipeline.parts.items() if key is not None]
        names = [listed.value] if isinstance(listed.value, str) else list(listed.value)
        if not names:
            return self._error("wrong-value", "`components` names nothing to save", listed.span,
                               help="leave it out to save the whole model")  # fmt: skip
        wrong = [name for name in names if name not in there]
        for name in wrong:
            message = f"`{name}` in `components` is no submodule of model `{model.name}`"
            self._error("unknown-submodule", message, inside(listed.span, name),
                        help=did_you_mean(name, there, "it has"))  # fmt: skip
        return UNKNOWN if wrong else [role for role in there if role in names]

    def _is_good_place(self, settings: Mapping[str, Setting], node: n.Action) -> bool:
        if "to" in settings:
            return self._is_good_folder(settings["to"])
        if not self.diagnostics.any_within(node.block.span):  # else perhaps it could not be read, or is misspelt
            self._error("missing-setting", "this `save` has no `to`", node.verb.span, help='write `to: "folder"`')
        return False

    def _is_good_folder(self, setting: Setting) -> bool:
        text = setting.value
        if any(not c.isprintable() for c in text):
            self._error("wrong-value", "`to` has a character that doesn't belong into a name", setting.span,
                        help="take it out, or name the folder with `slug(...)`")  # fmt: skip
            return False
        name = PurePosixPath(os.path.normpath(text)).name if text.strip() else ""
        if name in ("", "..", "~"):
            self._error("wrong-value", "`to` names no folder of its own", setting.span,
                        help="write a name such as `out/flux-int8`")  # fmt: skip
            return False
        if any(len(part.encode()) > 250 for part in PurePosixPath(text).parts):
            self._error("wrong-value", "this name is too long for a folder", setting.span,
                        help="shorten it with `slug(...)`")  # fmt: skip
            return False
        return True

    def _is_good_variant(self, setting: Setting | None) -> bool:
        if setting is None or re.fullmatch(r"[A-Za-z0-9_-]+", setting.value):
            return True
        self._error("wrong-value", f"`variant` can't be `{setting.value}`: it becomes a part of the files' names",
                    setting.span, help="use letters, digits, `_` and `-`")  # fmt: skip
        return False

    def _warn_of_rounding(self, model: Model, resolved: Resolved, roles: list[str] | None, at: Span) -> None:
        """Warn of weights that the library will read back nearly as they are, and so draw other pictures with."""
        differing: dict[tuple[str, str], list[str]] = {}
        for role, component in self._quantized(resolved, roles):
            wanted = component.quantization
            assert wanted is not None and component.dtype is not None
            for option, value in rounded(wanted.backend, wanted.options, component.library, component.dtype).items():
                differing.setdefault((component.dtype, f"`{option}: {shown(value)}`"), []).append(role)
        for (dtype, option), those in differing.items():
            named = " and ".join(f"`{role}`" for role in those)
            self.diagnostics.warning(
                "rounded-when-read", f"what is saved of {named} is read back with its scales rounded to {dtype}: its "
                "pictures will differ from those of this model", at,
                help=f"set {option} in the quantizer for the same pictures",
            )  # fmt: skip

    @staticmethod
    def _quantized(resolved: Resolved, roles: list[str] | None) -> Iterator[tuple[str, Component]]:
        """Yield the components to be saved that are quantized here, by role."""
        for role, key in resolved.pipeline.parts.items():
            if key is not None and resolved.components[key].quantization and (roles is None or role in roles):
                yield role, resolved.components[key]

    def _reads_back(self, model: Model, resolved: Resolved, roles: list[str] | None, at: Span) -> bool:
        """Report options that would be lost on the way: written, and read back as something else."""
        lost: dict[tuple[str, str], list[str]] = {}
        for role, component in self._quantized(resolved, roles):
            wanted = component.quantization
            assert wanted is not None
            for option in unreadable(wanted.backend, wanted.options, component.library):
                lost.setdefault((wanted.backend, option), []).append(role)
        for (backend, option), losing in lost.items():
            quantizer = _quantizer(model, losing[0])
            written = None if quantizer is None else quantizer.settings.get(option)
            named = " and ".join(f"`{role}`" for role in losing)
            self.diagnostics.error(
                "not-savable", f"{named} of `{model.name}` can't be saved: {backend} can't read back what it has "
                f"written with `{option}`", at, labels=() if written is None else (Label(written.span, "set here"),),
                help=f"leave `{option}` out of the quantizer, or name other submodules in `components`",
            )  # fmt: skip
        packed = [
            role for role, key in resolved.pipeline.parts.items()
            if key is not None and (roles is None or role in roles) and is_gguf(resolved.components[key].single_file)
        ]  # fmt: skip
        for role in packed:
            self.diagnostics.error(
                "not-savable", f"`{role}` of `{model.name}` can't be saved: it is from a GGUF file, and diffusers "
                "writes none", at, help="name other submodules in `components`",
            )  # fmt: skip
        return not lost and not packed

    def _error(self, code: str, message: str, span: Span, *, help: str | None = None) -> Unknown:
        self.diagnostics.error(code, message, span, help=help)
        return UNKNOWN


def _quantizer(model: Model, role: str) -> Quantizer | None:
    """Return the quantizer that decided for `role`: that of its own block, or the model's."""
    setting = model.parts.get(role, {}).get("quantizer") or model.settings.get("quantizer")
    return setting.value if setting is not None and isinstance(setting.value, Quantizer) else None
