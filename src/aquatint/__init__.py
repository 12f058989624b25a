"""Aquatint: a scripting language, and its interpreter, for running quantized diffusion models.

Importing this package imports nothing heavy; see `docs/architecture.md` for where things live.
"""

__version__ = "0.1.0"
