"""Components whose weights are in a single file: read as if they lay in a folder of their own, in diffusers' names.

The libraries' `from_pretrained` loads them like any other, tensor by tensor and quantized on the way; the names come
from diffusers' own conversions. What such a file holds is told in `catalog.single_files`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aquatint.catalog import checkpoints, single_files
from aquatint.catalog.checkpoints import Part
from aquatint.plan.steps import Component
from aquatint.runtime.engine import EngineError
from aquatint.runtime.torch_engine import derived, skeletons
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.streaming import Slice, Standin

_NAMES = {"diffusers": "diffusion_pytorch_model.safetensors", "transformers": "model.safetensors"}
_EMPTY = b"\x02\0\0\0\0\0\0\0{}"  # a safetensors file without tensors


@contextmanager
def in_a_folder(
    libraries: Libraries, component: Component, found: Any, folder: Path, library: str
) -> Iterator[tuple[Path, Standin]]:
    """Yield a folder that `from_pretrained` of `found` reads, and what stands for the file of weights in it.

    `folder` is the one with the configurations; `library` is whose loader reads it. Raises `EngineError`.
    """
    assert component.single_file is not None
    try:
        file = checkpoints.single_file(component.single_file)
        config = checkpoints.read_config(folder, component.subfolder)
        part = Part(component.role, component.library, component.class_name, component.subfolder, True)
        start = single_files.prefix(part, config, checkpoints.single_header(component.single_file))
    except checkpoints.CheckpointError as error:
        raise EngineError(error.message, error.help) from error
    if start is None:
        raise EngineError(f"`{component.single_file}` holds no weights of `{component.role}`")

    def converted(slices: Mapping[str, Slice]) -> dict[str, Slice]:
        own = {name: each for name, each in slices.items() if name.startswith(start)}
        return _converted(libraries, component, found, config, start, own)

    # What the files of the configurations' own weights are quantized by says nothing of these.
    config = {name: value for name, value in config.items() if name != "quantization_config"}
    with tempfile.TemporaryDirectory(prefix="aquatint-") as place:
        (Path(place) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        stand_in = Path(place) / _NAMES[library]
        stand_in.write_bytes(_EMPTY)
        yield Path(place), Standin(stand_in, file, converted)


def _converted(
    libraries: Libraries, component: Component, found: Any, config: dict[str, Any], start: str, own: dict[str, Slice]
) -> dict[str, Slice]:
    """Return a component's tensors in diffusers' names, nothing read."""
    module = skeletons.skeleton(libraries, component, found)
    tensors = derived.derived(libraries.torch, own)
    if issubclass(found, libraries.transformers.PreTrainedModel):
        return derived.as_slices(_of_text_encoder(libraries.torch, module, tensors, start))
    from diffusers.loaders import single_file_model as loader

    if set(module.state_dict()) == set(own):
        return own
    name = loader._get_single_file_loadable_mapping_class(found)
    if name is None:
        raise EngineError(f"`{component.single_file}` hasn't the weights of a `{component.class_name}` that its "
                          "configuration is of", "name the configuration that it was saved with")  # fmt: skip
    convert = loader.SINGLE_FILE_LOADABLE_CLASSES[name]["checkpoint_mapping_fn"]
    return derived.as_slices(convert(config=config, checkpoint=tensors))


def _of_text_encoder(torch: Any, module: Any, tensors: dict[str, Any], start: str) -> dict[str, Any]:
    from diffusers.loaders import single_file_utils as utils

    if start in single_files.T5:
        return dict(utils.convert_sd3_t5_checkpoint_to_diffusers(tensors))
    if start in single_files.OPEN_CLIP:
        made = utils.convert_open_clip_checkpoint(module, tensors, prefix=start)
    else:
        made = utils.convert_ldm_clip_checkpoint(tensors, start if start in single_files.OF_SD3 else None)
    if start == single_files.OF_SD3[0]:
        # Its file has no projection; diffusers takes the one that changes nothing.
        made["text_projection.weight"] = torch.eye(module.config.hidden_size)
    if not hasattr(module, "text_model"):
        made = {name.removeprefix("text_model."): each for name, each in made.items()}
    return dict(made)
