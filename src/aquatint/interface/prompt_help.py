"""What `--prompt-upscaler-help` and `--prompt-weighter-help` tell of prompt plugins, and each with all its options.

Everything in it comes from the plugins' records, so that other packages' are told of like this program's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from aquatint.catalog.prompt_plugins import (
    Kind,
    PromptPlugin,
    no_prompt_plugin,
    prompt_plugin,
    prompt_plugins,
    unusable_prompt_plugins,
)
from aquatint.diagnostics import Diagnostic
from aquatint.interface.exits import DONE, WRONG
from aquatint.interface.option_help import (
    NARROWEST,
    WIDEST,
    Emphasis,
    entries_text,
    explanation,
    heading,
    value_text,
    values_text,
    wrapped,
    write,
)
from aquatint.interface.report import write_diagnostic


def answer(kind: Kind, names: Sequence[str]) -> int:
    """Write the listing, or what there is to know of the plugins called `names`; return the exit code."""
    unknown = [no_prompt_plugin(kind, name) for name in names if prompt_plugin(kind, name) is None]
    for message, help in unknown:
        write_diagnostic(Diagnostic("unknown-plugin", message, help=help), sys.stderr)
    if unknown:
        return WRONG
    asked = {found.name: found for name in names if (found := prompt_plugin(kind, name)) is not None}
    write(asked.values(), documentation, lambda width, strong: listing(kind, width, strong))
    return DONE


def listing(kind: Kind, width: int, strong: Emphasis = str) -> str:
    """Return one entry for each plugin of `kind`, in lines of at most `width` columns."""
    plugins = prompt_plugins(kind)
    entries = {_called(each): re.split(r"(?<=\.) ", each.help, maxsplit=1)[0] for each in plugins}
    entries |= {name: f"can't be used: {reason}" for name, reason in unusable_prompt_plugins(kind).items()}
    by = f"aquatint --prompt-{kind}-help {' '.join(each.name for each in plugins)}"
    return entries_text(f"{kind}s of prompts:", entries, by, width, strong)


def documentation(of: PromptPlugin, width: int, strong: Emphasis = str) -> str:
    """Return what there is to know of `of` and of each of its options, in lines of at most `width` columns."""
    width = max(NARROWEST, min(width, WIDEST))
    lines = [strong(_called(of)), *wrapped(of.help, width, "    ")]
    if of.schema.settings:
        lines += ["", *explanation(of.name, of.schema, width)]
    for setting in of.schema.settings:
        values = values_text(setting, [value_text(choice) for choice in setting.choices])
        lines += ["", *heading(setting, values, width, strong)]
    return "\n".join(lines) + "\n"


def _called(of: PromptPlugin) -> str:
    return ", also ".join([of.name, *of.aliases])
