"""Denoisers and controlnets from elsewhere that don't go with the model are refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from aquatint.interface.cli import main
from support import folders

SCRIPT = """\
model m { source: "sd", unet { source: "xl" } }
model n { source: "sd", controlnet { source: "canny" } }
model o { source: "xl", controlnet { source: "canny" } }
model p { source: "sd", unet { source: "flux", subfolder: "transformer" } }
model q { source: "sd", unet { source: "xl" }, text_encoder { source: "xl" } }
"""
EXPECTED = """\
error[wrong-component]: this `unet` is for another model: its `cross_attention_dim` is 2048, and that of the checkpoint's own `unet` 768
 --> s.aqt:1:40
  |
1 | model m { source: "sd", unet { source: "xl" } }
  |                                        ^^^^
  = help: name a `unet` that was made for the same kind of model

error[wrong-component]: this `controlnet` is for another model: its `cross_attention_dim` is 768, and that of the `unet` here 2048
 --> s.aqt:3:46
  |
3 | model o { source: "xl", controlnet { source: "canny" } }
  |                                              ^^^^^^^
  = help: name a `controlnet` that was made for the same kind of model

error[wrong-component]: `unet` of a `StableDiffusionPipeline` is a `UNet2DConditionModel`, and this a `FluxTransformer2DModel`
 --> s.aqt:4:40
  |
4 | model p { source: "sd", unet { source: "flux", subfolder: "transformer" } }
  |                                        ^^^^^^
  = help: name one that is a `UNet2DConditionModel`

3 errors; nothing was loaded or written
"""  # noqa: E501


def test_another_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    unsafe = {"safety_checker": [None, None], "feature_extractor": [None, None]}
    folders.write_pipeline(Path("sd"), "StableDiffusionPipeline", folders.SD, **unsafe)
    folders.write_pipeline(Path("xl"), "StableDiffusionXLPipeline", folders.SDXL)
    folders.write_pipeline(Path("flux"), "FluxPipeline", folders.FLUX)
    folders.write_component(Path("canny"), "diffusers", "ControlNetModel")
    for place, class_name, width in (
        ("sd/unet", "UNet2DConditionModel", 768), ("xl/unet", "UNet2DConditionModel", 2048),
        ("canny", "ControlNetModel", 768),
    ):  # fmt: skip
        folders.write_json(Path(place, "config.json"), {"_class_name": class_name, "cross_attention_dim": width})
    Path("s.aqt").write_text(SCRIPT, encoding="utf-8")
    assert main(["check", "s.aqt", "--device", "cpu", "--allow", "unused-name"]) == 2
    assert capsys.readouterr().err == EXPECTED
