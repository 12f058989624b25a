"""The settings of the weighter `llm4gen`."""

from __future__ import annotations

from aquatint.catalog.models import DTYPES
from aquatint.catalog.settings import Schema, Setting

LLM4GEN_SCHEMA = Schema("llm4gen", (
    Setting("encoder", "str", "Which T5 encoder of RankGen reads the prompt.", "xl-all",
            choices=("base-all", "large-all", "xl-all", "xl-pg19")),
    Setting("projector", "str", "Where the cross-adapter module is: a hub id or a folder.", "Shui-VL/LLM4GEN-models"),
    Setting("weighter", "str", "The weighter that makes the embeddings which those of the language model are added "
            "to; the pipeline's own text encoder unless it is set."),
    Setting("llm_dtype", "str", "The data type of the language model's weights that aren't quantized. `float32` on a "
            "CPU and `float16` elsewhere unless it is set.", choices=DTYPES),
    Setting("llm_quantizer", "quantizer", "The quantizer of the language model: a quantizer's name, a URI, or `none`."),
))  # fmt: skip
