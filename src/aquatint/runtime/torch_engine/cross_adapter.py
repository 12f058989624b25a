"""The cross-adapter module of LLM4GEN (arXiv:2407.00737): what it computes, and loading it from its file.

Its file tells its sizes, and is looked over in `catalog.llm4gen`; what goes into it is its weighter's business.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from aquatint.catalog import llm4gen
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.llm4gen import CLASS_NAME, HEADS
from aquatint.catalog.pickle_files import is_pickle
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.torch_engine import weights
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.pickled import PickledFile
from aquatint.runtime.torch_engine.tensor_files import TensorFile


@cache
def module_class(torch: Any) -> Any:
    """Return the class of cross-adapter modules, whose parameters go by the names in the published file."""
    nn, functional = torch.nn, torch.nn.functional
    base: Any = nn.Module

    class Layer(base):  # type: ignore[misc]  # torch is imported late
        """The language model's tokens attend to those of CLIP, and are put behind them."""

        def __init__(self, dim: int, llm_dim: int) -> None:
            super().__init__()
            self.llm_proj = nn.Linear(llm_dim, dim)
            for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
                setattr(self, name, nn.Linear(dim, dim))
            for name in ("q_norm", "kv_norm", "norm"):
                setattr(self, name, nn.LayerNorm(dim))
            # The activation between the two has no weights.
            self.FFN = nn.ModuleDict({"0": nn.Linear(dim, 4 * dim), "2": nn.Linear(4 * dim, dim)})

        def forward(self, clip: Any, llm: Any) -> Any:
            llm = self.llm_proj(llm)
            # As the published code has it: each norm is named for what it isn't applied to.
            normed, seen = self.kv_norm(llm), self.q_norm(clip)
            query, key, value = (
                each.unflatten(-1, (HEADS, -1)).transpose(1, 2)
                for each in (self.q_proj(normed), self.k_proj(seen), self.v_proj(seen))
            )
            attended = functional.scaled_dot_product_attention(query, key, value)
            llm = llm + self.out_proj(attended.transpose(1, 2).flatten(2))
            inner = self.FFN["0"](self.norm(llm))
            llm = llm + self.FFN["2"](inner * torch.sigmoid(1.702 * inner))
            return torch.cat([clip, llm], dim=1)

    class CrossAdapter(base):  # type: ignore[misc]  # torch is imported late
        """Makes of [batch, m, dim] and [batch, n, llm_dim] embeddings [batch, m + n, dim], in its weights' dtype."""

        def __init__(self, dim: int, llm_dim: int, layers: int) -> None:
            super().__init__()
            self.CrossFusionModule = nn.ModuleList([Layer(dim, llm_dim) for _ in range(layers)])

        def forward(self, clip: Any, llm: Any) -> Any:
            like = self.CrossFusionModule[0].llm_proj.weight
            clip, llm = clip.to(like.dtype), llm.to(like.dtype)
            for layer in self.CrossFusionModule:
                clip = layer(clip, llm)
            return clip

    return CrossAdapter


def load(libraries: Libraries, component: Component) -> Loaded:
    """Return the cross-adapter module that `component` is, in its dtype and on its device; raise `EngineError`."""
    torch, what = libraries.torch, f"`{component.role}` ({CLASS_NAME}) from `{component.source}`"
    dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}.get(component.dtype or "")
    if dtype is None or component.quantization is not None:
        raise EngineError(f"can't load {what} as it is asked for", "give it a data type, and no quantizer")
    try:
        file = llm4gen.path(component.source, component.revision, component.subfolder)
        told = llm4gen.read(file)
    except CheckpointError as error:
        raise EngineError(error.message, error.help) from error
    with engine_error(f"can't load {what}"):
        with torch.device("meta"):
            module = module_class(torch)(told.dim, told.llm_dim, told.layers)
        with PickledFile(torch, file) if is_pickle(file) else TensorFile(torch, file) as opened:
            state = {name: opened.read(name).to(component.device, dtype) for name in opened.tensors}
        module.load_state_dict(state, assign=True)
        module.eval().requires_grad_(False)
    return Loaded(component, module, weights.total_bytes(torch, module), 0, 0, len(state))
