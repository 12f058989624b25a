"""What quantizers may say: mistakes, canonical form, URI form and label."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aquatint.catalog import quantizers, sdnq_types
from aquatint.catalog.quantizers import canonical, format_uri, label, parse_uri, problems, read_uri
from aquatint.catalog.uris import UriError


def found(backend: str, **options: Any) -> list[tuple[str | None, str]]:
    return [(problem.setting, problem.code) for problem in problems(backend, options)]


@pytest.mark.parametrize(
    ("backend", "options", "expected"),
    [
        ("bnb", {}, []),
        ("bitsandbytes", {"bits": 4, "bits4-quant-type": "nf4", "bits4_use_double_quant": True}, []),
        ("bnb", {"bits": 5}, [("bits", "wrong-value")]),
        ("bnb", {"bits": "4"}, [("bits", "wrong-type")]),
        ("bnb", {"bits": None}, [("bits", "wrong-value")]),
        ("bnb", {"bit": 4}, [("bit", "unknown-setting")]),
        ("bnb", {"bits4_quant_type": "nf4"}, [("bits4_quant_type", "contradicting-settings")]),
        ("bnb", {"bits": 8, "bits4_quant_type": "fp4"}, []),  # the default: an inherited setting undone
        ("bnb", {"bits": 4, "llm_int8_threshold": 3}, [("llm_int8_threshold", "contradicting-settings")]),
        ("bnb", {"llm_int8_threshold": float("nan")}, [("llm_int8_threshold", "wrong-value")]),
        ("bnb", {"llm_int8_threshold": 10**400}, [("llm_int8_threshold", "wrong-value")]),
        ("bnb", {"llm_int8_threshold": -1}, [("llm_int8_threshold", "wrong-value")]),
        ("bnb", {"llm_int8_skip_modules": "ff"}, []),
        ("sdnq", {"weights_dtype": "int8", "type": "int4"}, [("type", "contradicting-settings")]),
        ("sdnq", {"type": "int77"}, [("type", "wrong-value")]),
        ("sdnq", {"svd_rank": 8}, [("svd_rank", "contradicting-settings")]),
        ("sdnq", {"svd_rank": 8, "use_svd": True}, []),
        ("sdnq", {"svd_rank": 8, "modules_quant_config": {"ff": {"use_svd": True}}}, []),
        ("sdnq", {"svd_rank": 8, "modules_quant_config": {}}, [("svd_rank", "contradicting-settings")]),
        ("sdnq", {"use_codebook": True}, [("use_codebook", "contradicting-settings")]),
        ("sdnq", {"use_codebook": True, "type": "uint4"}, []),
        ("sdnq", {"use_codebook": True, "type": "uint16"}, [("use_codebook", "contradicting-settings")]),
        ("sdnq", {"zero_point_dtype": "uint8"}, [("zero_point_dtype", "contradicting-settings")]),
        ("sdnq", {"zero_point_dtype": "uint8", "type": "ufp4"}, []),
        ("sdnq", {"zero_point_dtype": "uint8", "modules_dtype_dict": {"uint4": ["ff"]}}, []),
        ("sdnq", {"type": "bf16", "use_quantized_matmul": True}, [("use_quantized_matmul", "contradicting-settings")]),
        ("sdnq", {"type": "bf16", "use_quantized_matmul": True, "quantized_matmul_dtype": "fp8"}, []),
        ("sdnq", {"quantization_device": "cuda:1", "return_device": "cpu"}, []),
        ("sdnq", {"quantization_device": "cuda:"}, [("quantization_device", "wrong-value")]),
        ("sdnq", {"return_device": "tpu"}, [("return_device", "wrong-value")]),
        ("sdnq", {"dynamic_loss_threshold": 0, "dynamic": True}, [("dynamic_loss_threshold", "wrong-value")]),
        ("sdnq", {"quantized-matmul-conv": True}, [("quantized-matmul-conv", "contradicting-settings")]),
        ("sdnq", {"quantized_matmul_dtype": "int8"}, [("quantized_matmul_dtype", "contradicting-settings")]),
        ("sdnq", {"quantized_matmul_dtype": "int8", "use_quantized_matmul": True}, []),
        ("sdnq", {"use_dynamic_quantization": True, "type": "float8_e4m3fnuz"},
         [("use_dynamic_quantization", "contradicting-settings")]),
        ("sdnq", {"dynamic_loss_threshold": 0.1}, [("dynamic_loss_threshold", "contradicting-settings")]),
        ("sdnq", {"hadamard_group_size": 100, "use_hadamard": True}, [("hadamard_group_size", "wrong-value")]),
        ("sdnq", {"group_size": -3}, [("group_size", "wrong-value")]),
        ("sdnq", {"group_size": True}, [("group_size", "wrong-type")]),
        ("sdnq", {"scale_dtype": "uint9"}, [("scale_dtype", "refused-type")]),
        ("sdnq", {"modules_dtype_dict": {"minimum_6bit": ["ff"], "int4": "attn1"}}, []),
        ("sdnq", {"modules_dtype_dict": {"foo": ["ff"]}}, [("modules_dtype_dict", "wrong-value")]),
        ("sdnq", {"modules_dtype_dict": {"int8": 3}}, [("modules_dtype_dict", "wrong-type")]),
        ("sdnq", {"modules_dtype_dict": {"minimum_uint9bit": ["ff"]}}, [("modules_dtype_dict", "refused-type")]),
        ("sdnq", {"modules_dtype_dict": {"int8": ["a"], "int4": ["a"]}},
         [("modules_dtype_dict", "contradicting-settings")]),
        ("sdnq", {"modules_quant_config": {"ff": {"weights_dtype": "fp32"}}},
         [("modules_quant_config", "refused-type")]),
        ("sdnq", {"modules_quant_config": {"ff": {"quant_conv": True}}}, [("modules_quant_config", "unknown-setting")]),
        ("sdnq", {"modules_quant_config": {"ff": 3}}, [("modules_quant_config", "wrong-type")]),
    ],
)  # fmt: skip
def test_mistakes_are_found(backend: str, options: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(backend, **options) == expected


def test_an_unknown_backend_is_one_problem_with_a_suggestion() -> None:
    [problem] = problems("bitsandbites", {"whatever": 1})
    assert (problem.setting, problem.code, problem.help) == (None, "unknown-backend", "did you mean `bitsandbytes`?")


def test_a_misspelt_setting_is_suggested() -> None:
    [problem] = problems("sdnq", {"weight_dtype": "int8"})
    assert problem.message == "quantizer backend `sdnq` has no setting `weight_dtype`"
    assert problem.help == "did you mean `weights_dtype`?"


def test_what_depends_on_a_wrong_setting_or_an_unknown_one_is_not_told() -> None:
    wrong = {"bits": 5, "bits4_quant_type": "nf4", "llm_int8_threshold": 3.0}
    assert [problem.setting for problem in problems("bnb", wrong)] == ["bits"]
    odd = {"use_codebook": True, "svd_rank": 8}
    assert [problem.setting for problem in problems("sdnq", odd, {"weights_dtype"})] == ["svd_rank"]
    assert [problem.setting for problem in problems("sdnq", odd, {"use_svd"})] == ["use_codebook"]
    assert [problem.setting for problem in problems("sdnq", odd, {"modules_quant_config"})] == ["use_codebook"]


@pytest.mark.parametrize("name", [*sdnq_types.REFUSED, "fp32"])
def test_a_type_that_sdnq_gets_wrong_is_refused_with_the_measured_error_and_a_neighbour(name: str) -> None:
    [problem] = problems("sdnq", {"weights_dtype": name})
    refusal = sdnq_types.REFUSED[sdnq_types.one_name(name)]
    assert problem.code == "refused-type"
    assert f"{refusal.error:.2g}" in problem.message
    assert problem.help == f"use `{refusal.instead}`"
    assert problems("sdnq", {"weights_dtype": refusal.instead}) == []


def test_every_other_type_is_accepted() -> None:
    refused = {name for name in sdnq_types.NAMES if sdnq_types.one_name(name) in sdnq_types.REFUSED}
    for name in sdnq_types.NAMES:
        assert bool(problems("sdnq", {"weights_dtype": name})) == (name in refused)


def test_messages_keep_to_the_style() -> None:
    seen = [
        *problems("bnb", {"bits": 5, "bit": 1}),
        *problems("bnb", {"bits4_quant_type": "nf4"}),
        *problems("sdnq", {"type": "uint9", "svd_rank": 2, "modules_dtype_dict": {"x": ["y"]}}),
        *problems("nope", {}),
    ]
    assert len(seen) == 7
    for problem in seen:
        assert not problem.message.endswith(".")
        assert problem.message[0] in "`abcdefghijklmnopqrstuvwxyz"


def test_canonical_has_every_option_sorted_and_under_one_name() -> None:
    for backend in quantizers.backends():
        options = canonical(backend.name, {})
        assert list(options) == sorted(backend.schema.names())


@pytest.mark.parametrize(
    ("backend", "one", "other"),
    [
        ("sdnq", {"type": "fp8"}, {"weights-dtype": "float8_e4m3fn"}),
        ("sdnq", {}, {"weights_dtype": "int8", "group_size": 0, "modules_to_not_convert": []}),
        ("sdnq", {"modules_to_not_convert": ["b", "a", "b"]}, {"skip_modules": ["a", "b"]}),
        ("sdnq", {"modules_dtype_dict": {"fp8": "x", "6bit": ["y"]}},
         {"modules_dtype_dict": {"minimum_6bit": ["y"], "float8_e4m3fn": ["x"]}}),
        ("sdnq", {"modules_quant_config": {"ff": {"type": "fp8"}}},
         {"modules_quant_config": {"ff": {"weights_dtype": "float8_e4m3fn"}}}),
        ("bnb", {"llm_int8_threshold": 6}, {"llm_int8_threshold": 6.0}),
        ("bnb", {"bits": 4, "double_quant": True}, {"bits": 4, "bnb_4bit_use_double_quant": True}),
    ],
)  # fmt: skip
def test_equal_quantizers_have_one_canonical_form(backend: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert repr(canonical(backend, one)) == repr(canonical(backend, other))


def test_no_list_and_an_empty_list_differ_for_bnb() -> None:
    assert canonical("bnb", {}) != canonical("bnb", {"llm_int8_skip_modules": []})


def test_canonical_is_settled() -> None:
    options = {"type": "fp8", "modules_dtype_dict": {"minimum_uint6bits": "y", "fp4": ["z", "a"]}}
    once = canonical("sdnq", options)
    assert canonical("sdnq", once) == once
    assert problems("sdnq", once) == []


@pytest.mark.parametrize(
    ("text", "backend", "options"),
    [
        ("bnb", "bnb", {}),
        ("bnb;", "bnb", {}),
        ("bitsandbytes; bits=4 ;bits4-quant-type=nf4", "bnb", {"bits": 4, "bits4_quant_type": "nf4"}),
        ("sdnq;type=int8;quant-conv=true", "sdnq", {"weights_dtype": "int8", "quant_conv": True}),
        ("sdnq;dynamic=true;dynamic-loss-threshold=1e-3", "sdnq",
         {"use_dynamic_quantization": True, "dynamic_loss_threshold": 1e-3}),
        ("sdnq;scale-dtype=none", "sdnq", {"scale_dtype": None}),
        ("sdnq;skip-modules=a,b", "sdnq", {"modules_to_not_convert": ["a", "b"]}),
        ('sdnq;modules-dtype-dict={"int8":["ff"]}', "sdnq", {"modules_dtype_dict": {"int8": ["ff"]}}),
        ("bnb;no-such=1", "bnb", {"no_such": "1"}),
    ],
)  # fmt: skip
def test_a_uri_is_read(text: str, backend: str, options: dict[str, Any]) -> None:
    assert parse_uri(text) == (backend, options)


@pytest.mark.parametrize(
    ("text", "part", "code"),
    [
        ("bnbx;bits=4", "bnbx", "unknown-backend"),
        ("bnb;bits= four", "four", "wrong-type"),
        ("bnb;bits=4;;bits4-quant-type=nf4", ";", "malformed-uri"),
        ("bnb;bits", "bits", "malformed-uri"),
        ("bnb;=4", "=4", "malformed-uri"),
        ("sdnq;type=int8;weights_dtype=int4", "weights_dtype=int4", "malformed-uri"),
        ("sdnq;quant-conv=yes", "yes", "wrong-type"),
        ("sdnq;modules-dtype-dict={", "{", "wrong-type"),
    ],
)
def test_a_malformed_uri_is_pointed_into(text: str, part: str, code: str) -> None:
    with pytest.raises(UriError) as error:
        parse_uri(text)
    assert text[error.value.offset : error.value.offset + error.value.length] == part
    assert error.value.code == code


def test_every_mistake_of_a_uri_is_found() -> None:
    read = read_uri("bnb;bits=four;;bits4-quant-type;no-such=1;no-such=2;llm-int8-threshold=3")
    assert [error.message for error in read.errors] == [
        '`bits` takes a whole number, not `"four"`',
        "there is nothing between two `;`",
        "`bits4-quant-type` is not of the form `name=value`",
        "`no_such` is given twice",
    ]
    assert (read.backend, read.options) == ("bnb", {"no_such": "1", "llm_int8_threshold": 3.0})
    assert read.unclear == ("bits", "bits4_quant_type")


def test_an_empty_uri_names_the_backends() -> None:
    with pytest.raises(UriError) as error:
        parse_uri("")
    assert error.value.help == "backends: `bnb`, `bitsandbytes`, `sdnq`"


@pytest.mark.parametrize(
    ("backend", "options", "uri"),
    [
        ("bnb", {}, "bnb"),
        ("bnb", {"bits": 8}, "bnb"),
        ("bitsandbytes", {"bits4_quant_type": "nf4", "bits": 4}, "bnb;bits=4;bits4-quant-type=nf4"),
        ("bnb", {"skip_modules": []}, "bnb;llm-int8-skip-modules=[]"),
        ("bnb", {"skip_modules": ["a;b", "c,d"]}, 'bnb;llm-int8-skip-modules=["a\\u003bb","c,d"]'),
        ("bnb", {"skip_modules": "ff"}, "bnb;llm-int8-skip-modules=ff"),
        ("sdnq", {"type": "fp8", "conv": True}, "sdnq;weights-dtype=fp8;quant-conv=true"),
        ("sdnq", {"modules_quant_config": {"a": {"svd_rank": 4}}}, 'sdnq;modules-quant-config={"a":{"svd_rank":4}}'),
    ],
)
def test_the_shortest_uri_says_what_is_not_default_and_reads_back(
    backend: str, options: dict[str, Any], uri: str
) -> None:
    assert format_uri(backend, options) == uri
    name, read = parse_uri(uri)
    assert canonical(name, read) == canonical(backend, options)


@pytest.mark.parametrize(
    ("backend", "options", "expected"),
    [
        ("bnb", {}, "bnb int8"),
        ("bnb", {"bits": 4}, "bnb fp4"),
        ("bnb", {"bits": 4, "quant_type": "nf4", "double_quant": True}, "bnb nf4+dq"),
        ("sdnq", {}, "sdnq int8"),
        ("sdnq", {"type": "uint4", "group_size": 64, "svd": True, "conv": True}, "sdnq uint4 g64+conv+svd32"),
    ],
)
def test_labels(backend: str, options: dict[str, Any], expected: str) -> None:
    assert label(backend, options) == expected


def test_importing_the_catalog_imports_no_library() -> None:
    code = "import sys, aquatint.catalog.quantizers; print({'torch', 'sdnq', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# Any value that a script can write, and often one that fits.
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    PLAIN | st.sampled_from(sdnq_types.NAMES),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["int8", "minimum_6bit", "ff"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def quantizers_of_any_kind(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    backend = draw(st.sampled_from(quantizers.backends()))
    options: dict[str, Any] = {}
    for setting in draw(st.lists(st.sampled_from(backend.schema.settings), max_size=6, unique_by=lambda s: s.name)):
        name = draw(st.sampled_from([setting.name, setting.name.replace("_", "-"), *setting.aliases]))
        fitting = st.sampled_from(setting.choices) if setting.choices else st.just(setting.default)
        options[name] = draw(fitting | VALUES)
    return backend.name, options


@settings(deadline=None)  # the machine may be busy
@given(quantizers_of_any_kind())
def test_whatever_is_written_is_either_refused_or_has_one_form_and_a_uri(made: tuple[str, dict[str, Any]]) -> None:
    backend, options = made
    if problems(backend, options):
        return
    form = canonical(backend, options)
    json.dumps(form, allow_nan=False)
    assert problems(backend, form) == []
    assert canonical(backend, form) == form
    name, read = parse_uri(format_uri(backend, options))
    assert problems(name, read) == []
    assert json.dumps(canonical(name, read)) == json.dumps(form)
    assert label(backend, options).startswith(backend)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=20) | st.text("bnbsdq;=-_,typeintrue48 {}[]", max_size=30).map(lambda text: "sdnq;" + text))
def test_any_text_is_a_uri_or_an_error_that_points_into_it(text: str) -> None:
    try:
        backend, options = parse_uri(text)
    except UriError as error:
        assert 0 <= error.offset <= len(text)
        assert error.length >= 1
    else:
        problems(backend, options)
