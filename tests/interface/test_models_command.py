"""`aquatint models inspect`: the components, their sizes, and what quantizers make of them, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aquatint.interface.cli import main

DTYPE = ["--dtype", "float32"]


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["models", "inspect", *arguments]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["models", "inspect", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_folder(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        shown(capsys, "models/flux", *DTYPE, "--quantizer", "sdnq;type=uint4", "--quantizer", "bnb")
        == """\
models/flux: FluxPipeline

component         class                                      dtype    parameters      bytes
scheduler         diffusers.FlowMatchEulerDiscreteScheduler
text_encoder *    transformers.CLIPTextModel                 float32      98,304  384.0 KiB
text_encoder_2 *  transformers.T5EncoderModel                float32      98,304  384.0 KiB
tokenizer         transformers.CLIPTokenizer
tokenizer_2       transformers.T5TokenizerFast
transformer *     diffusers.FluxTransformer2DModel           float32     393,216    1.5 MiB
vae               diffusers.AutoencoderKL                    float32      98,304  384.0 KiB

* what a model's quantizer is for, unless `quantizer_map` says otherwise

once loaded      text_encoder  text_encoder_2  transformer        vae  all together
unquantized         384.0 KiB       384.0 KiB      1.5 MiB  384.0 KiB       2.6 MiB
sdnq;type=uint4      60.0 KiB        60.0 KiB    240.0 KiB   60.0 KiB     744.0 KiB
bnb                  99.0 KiB        99.0 KiB    390.0 KiB   99.0 KiB     972.0 KiB
all together: with that quantizer for the components with *, and the others as they are
"""
    )


def test_what_stays_and_what_fails(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpt2 = shown(capsys, "models/gpt2", "--quantizer", "sdnq")
    assert gpt2.endswith("""
sdnq leaves
  5 layers of text_encoder: it does not know the class `Conv1D`
""")
    odd = shown(capsys, "models/odd", *DTYPE, "--quantizer", "sdnq;type=uint4")
    assert odd.endswith("""
once loaded      text_encoder       unet        vae  all together
unquantized         128.0 KiB  130.0 KiB  128.0 KiB     386.0 KiB
sdnq;type=uint4      20.0 KiB      fails   20.0 KiB         fails
all together: with that quantizer for the components with *, and the others as they are

sdnq;type=uint4 leaves
  and fails with `block.0` and 1 more of unet: 16641 weights can't be packed as `uint4`
""")


def test_a_stored_component_is_what_its_files_hold(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "models/damaged/stored-quantized", "--quantizer", "sdnq")
    assert "unet is stored quantized (bnb int8) and is loaded as it is\n" in out
    assert "\nunet    " in out, "a model's quantizer is not for it"


def test_a_model_in_the_hubs_cache(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "black-forest-labs/FLUX.1-dev", "--json"))
    assert found["pipeline"] == "FluxPipeline"
    assert [part["role"] for part in found["components"] if part.get("by_default")] == [
        "text_encoder", "text_encoder_2", "transformer",
    ]  # fmt: skip


def test_bounds(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys, "models/sd", "--quantizer", "sdnq;type=uint4;dynamic=true")
    assert "sdnq;type=uint4;dynamic=true  20.0 KiB to 128.0 KiB  80.0 KiB to 512.0 KiB  20.0 KiB to 128.0 KiB" in out


def test_a_dtype_is_that_of_the_files_unless_it_is_set(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = json.loads(shown(capsys, "models/both", "--variant", "fp16", "--json"))
    full = json.loads(shown(capsys, "models/both", "--json"))
    set_to = json.loads(shown(capsys, "models/both", "--dtype", "bfloat16", "--json"))
    assert [each["totals"]["bytes"] for each in (half, full, set_to)] == [393_216, 786_432, 393_216]
    assert {part["dtype"] for part in half["components"] if "dtype" in part} == {"float16"}


def test_as_json(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "models/sd", *DTYPE, "--quantizer", "bnb;bits=4", "--json"))
    unet = next(part for part in found["components"] if part["role"] == "unet")
    assert unet == {
        "role": "unet", "class": "UNet2DConditionModel", "library": "diffusers", "dtype": "float32",
        "parameters": 131_072, "layers": 2, "bytes": 524_288, "reads": 524_288, "stored": None, "by_default": True,
        "quantized": {"bnb;bits=4": {"least": 73_856, "most": 73_856, "layers": 2, "left": [], "unfit": []}},
    }  # fmt: skip
    assert list(found["totals"]) == ["bytes", "bnb;bits=4"]


def test_where_no_quantizer_is_named_there_are_four(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(capsys, "models/sd", "--json"))
    assert list(found["totals"]) == [
        "bytes", "sdnq;type=int8", "sdnq;type=uint4", "bnb;bits=8", "bnb;bits=4;bits4-quant-type=nf4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["models/nothing"], "error[missing-model]: there is no folder `models/nothing`\n  help: "),
        (["models/sd", "--quantizer", "sdn"],
         "error[unknown-backend]: `--quantizer sdn`: there is no quantization backend `sdn`\n  help: did you mean"),
        (["models/sd", "--quantizer", "bnb;bits=5"],
         "error[wrong-value]: `--quantizer bnb;bits=5`: `bits` can't be `5`\n  help: choices: `4`, `8`"),
        (["models/sd", "--quantizer", "bnb;bits"], "error[malformed-uri]: `--quantizer bnb;bits`: "),
        (["models/sd", "--variant", "fp16"],
         "error[missing-variant]: `models/sd` has no variant `fp16`\n  help: leave `--variant` out: it has none"),
        (["models/damaged/truncated"], "error[damaged-checkpoint]: "),
        (["a\0b"], "error[missing-model]: there is no folder `a\N{REPLACEMENT CHARACTER}b`"),
    ],
)  # fmt: skip
def test_mistakes(models: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    assert refused(capsys, *arguments).startswith(expected)


def test_all_mistakes_are_told_at_once(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uris = ["sdnq;type=int77;fo=1", "bnb;bits=5;bits4-quant-type=nf4", "sdnq"]
    text = refused(capsys, "models/sd", *(word for uri in uris for word in ("--quantizer", uri)))
    assert [line for line in text.splitlines() if line.startswith("error")] == [
        'error[wrong-value]: `--quantizer sdnq;type=int77;fo=1`: `weights_dtype` can\'t be `"int77"`',
        "error[unknown-setting]: `--quantizer sdnq;type=int77;fo=1`: quantizer backend `sdnq` has no setting `fo`",
        "error[wrong-value]: `--quantizer bnb;bits=5;bits4-quant-type=nf4`: `bits` can't be `5`",
    ]


def test_no_torch_is_imported(models: Path) -> None:
    program = (
        "import sys; from aquatint.interface.cli import main; main(['models', 'inspect', 'builtin:shapes']); "
        "sys.exit(bool({'torch', 'diffusers', 'transformers', 'sdnq', 'bitsandbytes'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
