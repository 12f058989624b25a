"""A quantizer of every kind in the table of compatibility."""

from __future__ import annotations

KINDS: dict[str, str | None] = {
    "none": None,
    "bnb-8bit": "bnb;bits=8",
    "bnb-4bit": "bnb;bits=4;bits4-quant-type=nf4",
    "sdnq": "sdnq;type=int8;quant-conv=true",
    "sdnq-matmul": "sdnq;type=int8;use-quantized-matmul=true",
    "sdnq-svd": "sdnq;type=uint4;use-svd=true",
}
"""A URI by the kind's name; None leaves the model as it is."""
