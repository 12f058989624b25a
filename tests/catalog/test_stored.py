"""What components' own configurations say of how they are stored, in the forms that are found on the hub."""

from __future__ import annotations

from typing import Any

import pytest

from aquatint.catalog.stored import differences, read, unreadable

BNB4 = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "float16", "bnb_4bit_quant_storage": "uint8",
        "llm_int8_skip_modules": None, "llm_int8_threshold": 6.0}  # fmt: skip
BNB8 = BNB4 | {"load_in_4bit": False, "load_in_8bit": True}
SDNQ = {"quant_method": "sdnq", "weights_dtype": "uint4", "use_svd": True, "svd_rank": 16, "group_size": 0,
        "modules_to_not_convert": [".proj_out", "attn2"], "sdnq_version": "0.2.8", "is_training": False}  # fmt: skip


@pytest.mark.parametrize(
    ("configuration", "name"),
    [
        (BNB4, "bnb nf4+dq+float16"),
        (BNB8, "bnb int8"),
        ({"load_in_8bit": True}, "bnb int8"),
        (SDNQ, "sdnq uint4+svd16"),
        (SDNQ | {"use_svd": False}, "sdnq uint4"),
        (
            SDNQ | {"use_dynamic_quantization": True, "modules_dtype_dict": {"int6": ["a.b"]}},
            "sdnq uint4+dynamic+svd16",
        ),
        (SDNQ | {"weights_dtype": "int3.5"}, "sdnq"),
        (SDNQ | {"group_size": "many"}, "sdnq"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
    ],
)
def test_names(configuration: dict[str, Any], name: str) -> None:
    stored = read({"_class_name": "UNet2DConditionModel", "quantization_config": configuration})
    assert stored is not None
    assert stored.name == name


@pytest.mark.parametrize(
    "config", [{}, {"quantization_config": None}, {"quantization_config": [1]}, {"quantization_config": {}},
               {"quantization_config": {"quant_method": 7}}]
)  # fmt: skip
def test_what_is_not_stored_quantized(config: dict[str, Any]) -> None:
    assert read(config) is None


@pytest.mark.parametrize(
    ("configuration", "backend", "options", "expected"),
    [
        (SDNQ, "sdnq", {"weights_dtype": "uint4", "use_svd": True, "svd_rank": 16}, []),
        (SDNQ, "sdnq", {"type": "uint4", "use-svd": True, "svd-rank": 16, "modules_to_not_convert": ["attn2"]}, []),
        (SDNQ, "sdnq", {"weights_dtype": "uint4"}, ["use_svd", "svd_rank"]),
        (SDNQ, "sdnq", {"weights_dtype": "uint4", "use_svd": True, "svd_rank": 16, "skip_modules": ["ff"]},
         ["modules_to_not_convert"]),
        (SDNQ | {"quantization_device": "cuda:1", "add_skip_keys": False, "non_blocking": True}, "sdnq",
         {"weights_dtype": "uint4", "use_svd": True, "svd_rank": 16, "return_device": "cpu"}, []),
        (SDNQ, "bnb", {"bits": 4}, ["backend"]),
        (BNB4, "bitsandbytes", {"bits": 4, "quant_type": "nf4", "double_quant": True,
                                "bits4_compute_dtype": "float16"}, []),
        (BNB4 | {"llm_int8_skip_modules": [r"(?:.*\.)?proj\-out"]}, "bnb",
         {"bits": 4, "quant_type": "nf4", "double_quant": True, "bits4_compute_dtype": "float16",
          "skip_modules": ["proj-out"]}, []),
        (BNB8, "bnb", {}, []),
        (BNB8, "bnb", {"llm_int8_threshold": 5}, ["llm_int8_threshold"]),
        ({"quant_method": "gptq"}, "sdnq", {}, ["backend"]),
        (SDNQ | {"weights_dtype": "int3.5"}, "sdnq", {}, ["backend"]),
    ],
)  # fmt: skip
def test_differences(configuration: dict[str, Any], backend: str, options: dict[str, Any], expected: list[str]) -> None:
    stored = read({"quantization_config": configuration})
    assert stored is not None
    assert sorted(differences(stored, backend, options)) == sorted(expected)


@pytest.mark.parametrize(
    ("configuration", "library", "expected"),
    [
        (SDNQ | {"scale_dtype": "uint8"}, "diffusers", ("scale_dtype",)),
        # What else it says is beyond this version; what it says of its scales is not.
        (SDNQ | {"weights_dtype": "int3.5", "scale_dtype": "uint8"}, "transformers", ("scale_dtype",)),
        (BNB4 | {"bnb_4bit_quant_storage": "float16"}, "diffusers", ("bits4_quant_storage",)),
        (BNB4 | {"bnb_4bit_quant_storage": "float16"}, "transformers", ()),
        (BNB8 | {"bnb_4bit_quant_storage": "float16"}, "diffusers", ()),
        (BNB4, "diffusers", ()),
        (SDNQ, "diffusers", ()),
    ],
)
def test_unreadable(configuration: dict[str, Any], library: str, expected: tuple[str, ...]) -> None:
    stored = read({"quantization_config": configuration})
    assert stored is not None
    assert unreadable(stored.backend, stored.options, library) == expected
