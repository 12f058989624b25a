"""`phrases` as an upscaler: what a script may say. Read while planning, so nothing here imports torch."""

from __future__ import annotations

from aquatint.catalog.prompt_plugins import PromptPlugin
from aquatint.catalog.settings import Schema, Setting

SCHEMA = Schema("phrases", (
    Setting("phrases", "names", "What may be added to a prompt.", ("on a white background", "on a blue background")),
    Setting("count", "int", "How many of them are added; each at most once.", 1, minimum=0),
    Setting("seed", "int", "The seed of what is drawn, where `upscale` sets none.", minimum=0, maximum=2**63 - 1),
))  # fmt: skip

PHRASES = PromptPlugin(
    kind="upscaler",
    name="phrases",
    help="Adds phrases to a prompt, drawn from a list.",
    schema=SCHEMA,
    engine="aquatint_phrases.engine",
)
