"""Reads what the options of `generate` say: numbers, prompts, submodules, and what is wrong in them.

What they come to as a script is written by `generate_script`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from math import isfinite

from aquatint.catalog.models import ADAPTERS
from aquatint.diagnostics import Diagnostics
from aquatint.interface.generate_script import Prompt, Request
from aquatint.interface.submodel_uri import ABSENT, OWN, Submodule, parse_submodule
from aquatint.source import Source, Span

_INTEGER = re.compile(r"[+-]?\d+")
_DIGITS = 40
"""Characters of a number: more than that is no number that anything here takes."""
_PROMPT = re.compile(r"\{\{[^}]*?\b((?:negative_)?prompt)\b")
"""A prompt in an output's name."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def request(options: argparse.Namespace, diagnostics: Diagnostics) -> Request:
    """Return what `options` ask for, without what is wrong in them, which is reported."""
    images, pictures = options.images or (), {}
    if options.mask_image is not None:
        pictures["mask_image"] = options.mask_image
    if options.control_image is not None:
        pictures["control_image"] = _one_or_all(options.control_image)
    elif len(options.control_nets or ()) > 1:
        # One for each controlnet, and not one picture after the other.
        images, pictures = (), {**pictures, **({"image": _one_or_all(images)} if images else {})}
    if options.ip_adapter_image is not None:
        pictures["ip_adapter_image"] = _one_or_all(options.ip_adapter_image)
    per_batch = [options.images_per_batch] if options.images_per_batch is not None else None
    fps = [options.fps] if options.fps is not None else None
    return Request(
        source=options.model,
        prompts=_prompts(options, diagnostics),
        negative_prompts=options.negative_prompts or (),
        settings=_settings(options),
        submodules=_submodules(options, diagnostics),
        adapters=_adapters(options, diagnostics),
        quantizer_map=_quantizer_map(options.quantizer_map or ()),
        quantizers=[None if uri in ABSENT else uri for uri in options.quantizer or ()],
        guidance_scales=_numbers("--guidance-scales", options.guidance_scales, diagnostics),
        images=images,
        strengths=_numbers("--strengths", options.strengths, diagnostics),
        pictures=pictures,
        inference_steps=_integers("--inference-steps", options.inference_steps, diagnostics),
        seeds=_integers("--seeds", options.seeds, diagnostics),
        size=_size(options.output_size, diagnostics),
        scheduler=options.scheduler,
        output=_output(options, diagnostics),
        images_per_batch=next(iter(_integers("--images-per-batch", per_batch, diagnostics)), None),
        fps=next(iter(_numbers("--fps", fps, diagnostics)), None),
        upscalers=[uri for uri in options.prompt_upscaler or () if uri not in ABSENT],
        weighter=None if options.prompt_weighter in ABSENT else options.prompt_weighter,
    )


def _output(options: argparse.Namespace, diagnostics: Diagnostics) -> str | None:
    """Return the template of the output's name, after reporting one of prompts that aren't written yet."""
    output: str | None = options.output
    found = _PROMPT.search(output or "")
    if output is None or found is None:
        return output
    # One that is for the other of a pair leaves this one as it is.
    other = "part=positive" if found[1] == "negative_prompt" else "part=negative"
    if any(uri not in ABSENT and other not in uri.split(";") for uri in options.prompt_upscaler or ()):
        diagnostics.error(
            "deferred-value", f"`--output` names `{found[1]}`, which `--prompt-upscaler` writes when the plan runs",
            Span(Source("--output", output), found.start(1), found.end(1)),
            help="`{{ written | slug }}` is the prompt as it was before, and `{{ number }}` which of all prompts it is",
        )  # fmt: skip
        return None
    return output


def _one_or_all(files: Sequence[str]) -> str | Sequence[str]:
    return files[0] if len(files) == 1 else files


def _settings(options: argparse.Namespace) -> dict[str, str]:
    """Return the model's own settings that are texts, by their names in a script."""
    given = {
        "config": options.config,
        "subfolder": options.subfolder,
        "revision": options.revision,
        "type": options.model_type,
        "dtype": None if options.dtype == "auto" else options.dtype,
        "variant": options.variant,
    }
    return {name: text for name, text in given.items() if text is not None and text not in ABSENT}


def _quantizer_map(names: Sequence[str]) -> list[str]:
    is_absent = len(names) == 1 and names[0] in ABSENT
    return [] if is_absent else [name.replace("-", "_") for name in names]


def _submodules(options: argparse.Namespace, diagnostics: Diagnostics) -> dict[str, Submodule | None]:
    """Return the submodules that are told of, by role; None are those to leave out."""
    uris = {"unet": options.unet, "transformer": options.transformer}
    for number, uri in enumerate(options.text_encoders or (), start=1):
        uris["text_encoder" if number == 1 else f"text_encoder_{number}"] = uri
    uris |= {"vae": options.vae, "image_encoder": options.image_encoder}
    for number, uri in enumerate(options.control_nets or (), start=1):
        uris["controlnet" if number == 1 else f"controlnet_{number}"] = uri
    made: dict[str, Submodule | None] = {}
    for role, uri in uris.items():
        if uri is None or uri.strip() == OWN:
            continue
        of_several = {"text": "--text-encoders", "controlnet": "--control-nets"}
        option = of_several.get(role.partition("_")[0], f"--{role.replace('_', '-')}")
        made[role] = parse_submodule(option, uri, diagnostics)
    return made


def _adapters(options: argparse.Namespace, diagnostics: Diagnostics) -> list[tuple[str, Submodule]]:
    """Return the adapters that the model is given, each with the word that its block begins with."""
    made = []
    for kind, schema in ADAPTERS.items():
        option = f"--{kind.replace('_', '-')}"
        for uri in getattr(options, kind) or ():
            found = parse_submodule(option, uri, diagnostics, schema)
            if found is not None:
                made.append((kind, found))
    return made


def _prompts(options: argparse.Namespace, diagnostics: Diagnostics) -> list[Prompt]:
    made = []
    for text in options.prompts:
        # `\\;` is a `;` of the prompt; the first other one ends it.
        positive, *negative = re.split(r"(?<!\\);", text, maxsplit=1)
        made.append(Prompt(_unescaped(positive), _unescaped(negative[0]) if negative else None))
        if negative and options.negative_prompts:
            diagnostics.error(
                "contradicting-settings", "this prompt has a negative prompt, and `--negative-prompts` has others",
                _whole("--prompts", text, len(positive)), help="write them in one of the two places",
            )  # fmt: skip
    if options.negative_prompts:
        return [Prompt(prompt.text) for prompt in made]
    return made


def _unescaped(prompt: str) -> str:
    return prompt.replace("\\;", ";").strip()


def _integers(option: str, texts: Iterable[str] | None, diagnostics: Diagnostics) -> list[int]:
    return [int(text) for text in _matching(_INTEGER, option, texts, "a whole number", diagnostics)]


def _numbers(option: str, texts: Iterable[str] | None, diagnostics: Diagnostics) -> list[int | float]:
    return [
        float(text) if re.search(r"[.eE]", text) else int(text)
        for text in _matching(_NUMBER, option, texts, "a number", diagnostics)
    ]


def _matching(
    pattern: re.Pattern[str], option: str, texts: Iterable[str] | None, wanted: str, diagnostics: Diagnostics
) -> list[str]:
    """Return those of `texts` that have the form of a number, and report the others."""
    sound = []
    for text in texts or ():
        if pattern.fullmatch(text.strip()) and len(text) <= _DIGITS and isfinite(float(text)):
            sound.append(text.strip())
        else:
            diagnostics.error("wrong-type", f"`{option}` takes {wanted}, not `{text}`", _whole(option, text))
    return sound


def _size(text: str | None, diagnostics: Diagnostics) -> tuple[int, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})(?:[xX](\d{1,5}))?", text.strip())
    if found is None:
        message = f"`--output-size` takes a size, not `{text}`"
        diagnostics.error("wrong-type", message, _whole("--output-size", text), help="such as 512x768, or 512")
        return None
    return int(found[1]), int(found[2] or found[1])


def _whole(option: str, text: str, start: int = 0) -> Span:
    """Return the place of the argument `text` of `option`, from `start` on."""
    return Span(Source(option, text), start, max(len(text), start + 1))
