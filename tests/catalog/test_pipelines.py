"""The catalog of pipelines: spot checks against what diffusers documents, and that the file is up to date."""

import importlib.metadata
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from aquatint.catalog.media import is_written
from aquatint.catalog.pipelines import DATA, Argument, Component, catalog_version, library, pipeline, pipeline_names

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "make_pipeline_catalog.py"
ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


@pytest.mark.parametrize(
    ("name", "denoisers", "text_encoders", "task"),
    [
        ("StableDiffusionPipeline", ("unet",), ENCODERS[:1], "text-to-image"),
        ("StableDiffusionXLPipeline", ("unet",), ENCODERS[:2], "text-to-image"),
        ("StableDiffusionXLControlNetPipeline", ("unet",), ENCODERS[:2], "text-to-image"),
        ("StableDiffusion3Pipeline", ("transformer",), ENCODERS, "text-to-image"),
        ("FluxPipeline", ("transformer",), ENCODERS[:2], "text-to-image"),
        ("FluxFillPipeline", ("transformer",), ENCODERS[:2], None),
        ("WanPipeline", ("transformer", "transformer_2"), ENCODERS[:1], "text-to-video"),
        ("StableCascadeCombinedPipeline", ("decoder", "prior_prior"),
         ("text_encoder", "prior_text_encoder"), "text-to-image"),
        ("WuerstchenPriorPipeline", ("prior",), ENCODERS[:1], None),
        ("KolorsPipeline", ("unet",), ENCODERS[:1], "text-to-image"),
    ],
)  # fmt: skip
def test_denoisers_text_encoders_and_task(
    name: str, denoisers: tuple[str, ...], text_encoders: tuple[str, ...], task: str | None
) -> None:
    info = pipeline(name)
    assert info is not None
    assert info.name == name
    assert info.denoisers == denoisers
    assert info.text_encoders == text_encoders
    assert info.tasks[:1] == ((task,) if task else ())


def test_components_of_stable_diffusion() -> None:
    info = pipeline("StableDiffusionPipeline")
    assert info is not None
    assert info.components["unet"] == Component("unet", ("UNet2DConditionModel",), optional=False)
    assert info.components["safety_checker"].optional
    assert list(info.components) == [
        "vae", "text_encoder", "tokenizer", "unet", "scheduler", "safety_checker", "feature_extractor", "image_encoder",
    ]  # fmt: skip
    assert info.options == {"requires_safety_checker": True}


def test_a_union_is_several_classes() -> None:
    info = pipeline("StableDiffusionControlNetPipeline")
    assert info is not None
    assert "MultiControlNetModel" in info.components["controlnet"].classes


def test_arguments_with_and_without_defaults() -> None:
    flux = pipeline("FluxPipeline")
    assert flux is not None
    assert flux.arguments["guidance_scale"] == Argument("guidance_scale", "float", 3.5, required=False)
    assert flux.arguments["prompt"].type == "str | list[str]"
    assert flux.arguments["height"] == Argument("height", "int | None", None, required=False)


def test_a_required_argument() -> None:
    info = pipeline("WanImageToVideoPipeline")
    assert info is not None
    assert [name for name, argument in info.arguments.items() if argument.required] == ["image"]


def test_an_unknown_class_is_none() -> None:
    assert pipeline("NoSuchPipeline") is None


def test_most_pipelines_have_a_denoiser() -> None:
    without = {name for name in pipeline_names() if not (info := pipeline(name)) or not info.denoisers}
    assert len(pipeline_names()) > 250
    assert len(without) < 20, sorted(without)


def test_parts_of_packages_that_diffusers_has_moved_are_found_by_their_old_name() -> None:
    moved = "diffusers.pipelines.deprecated.wuerstchen"
    assert [library(name) for name in ("wuerstchen", moved)] == [moved, moved]
    assert library("stable_diffusion") == "diffusers.pipelines.stable_diffusion"
    assert library("os") is None


def test_a_first_lookup_is_quick_and_imports_no_model_library() -> None:
    code = (
        "import sys, time\n"
        "from aquatint.catalog.pipelines import pipeline\n"
        "start = time.process_time()\n"
        "assert pipeline('FluxPipeline')\n"
        "print(time.process_time() - start)\n"
        "assert not {'torch', 'diffusers', 'transformers', 'jinja2', 'lark'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # A few milliseconds; the bound has room for a busy machine.
    assert float(done.stdout) < 0.05


@pytest.mark.slow
def test_the_file_is_what_the_script_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as for a script that is started
    installed = importlib.metadata.version("diffusers")
    if installed != catalog_version():
        pytest.skip(f"the catalog is of diffusers {catalog_version()}, {installed} is installed")
    assert runpy.run_path(str(SCRIPT))["catalog"]() == DATA.read_text(encoding="utf-8"), "run `make catalog`"


def test_the_catalog_of_single_files_is_up_to_date() -> None:
    data = ROOT / "src" / "aquatint" / "catalog" / "data" / "single_files.json"
    script = runpy.run_path(str(ROOT / "scripts" / "make_single_file_catalog.py"))
    if importlib.metadata.version("diffusers") != json.loads(data.read_text(encoding="utf-8"))["diffusers"]:
        pytest.skip("the catalog is of another diffusers")
    assert script["catalog"]() == data.read_text(encoding="utf-8"), "run `make catalog`"


@pytest.mark.parametrize(
    ("name", "argument", "type"),
    [
        # They are handed to the processor of pictures, whatever their annotations say.
        ("FluxFillPipeline", "mask_image", "PipelineImageInput | torch.FloatTensor | None"),
        ("WanImageToVideoPipeline", "last_image", "PipelineImageInput | torch.Tensor | None"),
        ("AnimateDiffVideoToVideoPipeline", "video", "PipelineImageInput | list[list[PipelineImageInput]]"),
        # Without it the call fails, whatever the annotation says.
        ("HunyuanImageRefinerPipeline", "image", "PipelineImageInput"),
        ("FluxControlPipeline", "control_image", "PipelineImageInput"),
        # Annotated as something else.
        ("VisualClozePipeline", "image", "list[list[PIL.Image.Image | None]]"),
        ("VersatileDiffusionDualGuidedPipeline", "prompt", "str | list[str]"),
        # A call that begins by asking for their size can't do without them, whatever their annotations say.
        ("QwenImageEditPipeline", "image", "PipelineImageInput"),
        ("LongCatImageEditPipeline", "image", "PIL.Image.Image"),
        # These are left as they are: what a call asks for, pictures already, and texts that are beside them.
        ("FluxPipeline", "prompt", "str | list[str]"),
        ("FluxKontextPipeline", "image", "PipelineImageInput | None"),
        ("FluxImg2ImgPipeline", "image", "PipelineImageInput"),
        ("VisualClozeGenerationPipeline", "task_prompt", "str | list[str]"),
    ],
)
def test_what_a_call_takes_for_pictures(name: str, argument: str, type: str) -> None:
    info = pipeline(name)
    assert info is not None and info.arguments[argument].type == type


@pytest.mark.parametrize(
    ("name", "yields"),
    [
        ("QwenImageEditPipeline", ("images",)),
        ("QwenImageLayeredPipeline", ("layers",)),  # several for each image
        ("VisualClozePipeline", ("images",)),  # as many as places in its rows are empty
    ],
)
def test_what_a_call_makes(name: str, yields: tuple[str, ...]) -> None:
    info = pipeline(name)
    assert info is not None and info.yields == yields and is_written(info) == (yields != ("layers",))


@pytest.mark.parametrize(
    ("name", "packages"),
    [
        ("WanVideoToVideoPipeline", ("ftfy",)),
        ("CosmosTextToWorldPipeline", ("cosmos_guardrail",)),
        ("OmniGenPipeline", ("torchvision",)),
        ("ConsisIDPipeline", ("cv2",)),
        # They ask whether it is there, or use it only if they are told to.
        ("StableDiffusionXLPipeline", ()),
        ("IFPipeline", ()),
        ("AudioLDM2Pipeline", ()),
    ],
)
def test_packages(name: str, packages: tuple[str, ...]) -> None:
    info = pipeline(name)
    assert info is not None and info.packages == packages


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["StableDiffusionPipeline", "StableDiffusionXLPipeline", "FluxPipeline", "StableDiffusion3Pipeline", "WanPipeline"],
)
def test_the_catalog_agrees_with_the_class(name: str) -> None:
    import inspect

    import diffusers

    info = pipeline(name)
    assert info is not None
    cls = getattr(diffusers, name)
    roles, options = cls._get_signature_keys(cls)
    assert sorted(info.components) == roles
    assert sorted(info.options) == options
    call = {key: parameter for key, parameter in inspect.signature(cls.__call__).parameters.items() if key != "self"}
    assert list(info.arguments) == [
        key for key, parameter in call.items() if parameter.kind is not parameter.VAR_KEYWORD
    ]
    for key, argument in info.arguments.items():
        assert argument.required == (call[key].default is inspect.Parameter.empty)
        if not argument.required:
            default = call[key].default
            assert argument.default == (list(default) if isinstance(default, tuple) else default)
