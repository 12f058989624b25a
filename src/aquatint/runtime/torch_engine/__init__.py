"""The engine on the real libraries: alone in importing torch, diffusers, transformers, bitsandbytes and sdnq.

They are imported when an engine is made, not when this package is.
"""

from aquatint.runtime.torch_engine.engine import TorchEngine

__all__ = ["TorchEngine"]
