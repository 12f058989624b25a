"""`aquatint generate`: pictures without a script. What it is told becomes one, planned and run like any other."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aquatint.interface.commands.plan import show
from aquatint.interface.commands.run import concluded
from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import add_planning_options, evaluate, report
from aquatint.interface.running_options import add_running_options, session

if TYPE_CHECKING:
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.generate_script import Prompt, Request
    from aquatint.interface.submodel_uri import Submodule
    from aquatint.source import Span

NAME = "<command line>"
"""What messages and pictures call the script."""

_INTEGER = re.compile(r"[+-]?\d+")
_DIGITS = 40
"""Characters of a number: more than that is no number that anything here takes."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_EPILOG = """\
A URI of a submodule is SOURCE;NAME=VALUE..., where NAME is dtype, quantizer, revision, subfolder or variant:
    --unet 'me/better-unet;subfolder=unet;quantizer="bnb;bits=8"'
`+` as its source is the one that the model has, and `null` alone leaves the submodule out.
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "generate", help="make pictures without a script; `--emit-script` shows the script that it comes to",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "model", metavar="MODEL",
        help="a folder in the diffusers layout, a hub id, `builtin:NAME`; write it first, since lists take every word "
        "up to the next option",
    )  # fmt: skip
    _add_model_options(command.add_argument_group("the model"))
    _add_picture_options(command.add_argument_group("the pictures; lists of several values multiply"))
    add_planning_options(command)
    add_running_options(command)
    command.add_argument(
        "--output-path", dest="output_dir", type=Path, default=argparse.SUPPRESS, metavar="DIR",
        help="the same as --output-dir",
    )  # fmt: skip
    instead = command.add_mutually_exclusive_group()
    instead.add_argument("--emit-script", action="store_true", help="write the script, and run nothing")
    instead.add_argument("--plan", action="store_true", help="show the plan, as `aquatint plan` does, and run nothing")
    return command


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--model-type", metavar="TYPE", help="what the checkpoint must be: sd, sdxl, sd3, flux, ...")
    group.add_argument("--dtype", help="float32, float16, bfloat16, or auto, which is the device's own")
    group.add_argument("--variant", help="the set of weight files, such as fp16")
    group.add_argument("--revision", help="a branch, a tag or a commit of a hub repository")
    group.add_argument("--subfolder", help="the folder inside MODEL that has the pipeline")
    group.add_argument(
        "--quantizer", nargs="+", metavar="URI",
        help='such as "bnb;bits=8", for the denoiser and every text encoder; several make as many pictures',
    )  # fmt: skip
    group.add_argument(
        "--quantizer-map", nargs="+", metavar="NAME", help="the submodules that the quantizer is for instead"
    )
    group.add_argument("--unet", metavar="URI", help="another unet, or the settings of this one")
    group.add_argument("--transformer", metavar="URI", help="another transformer, or the settings of this one")
    group.add_argument("--vae", metavar="URI", help="another VAE, or the settings of this one")
    group.add_argument("--image-encoder", metavar="URI", help="another image encoder, or the settings of this one")
    group.add_argument(
        "--text-encoders", nargs="+", metavar="URI",
        help="one for each encoder, in order: a URI, `+` for the one that the model has, or `null` for none",
    )  # fmt: skip
    group.add_argument("--control-nets", nargs="+", metavar="URI", help="another controlnet, of a model that has one")


def _add_picture_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--prompts", nargs="+", metavar="PROMPT", required=True,
        help="what to draw; behind a `;`, what to keep away from. `\\;` is a `;` of the prompt",
    )  # fmt: skip
    group.add_argument(
        "--negative-prompts", nargs="+", metavar="PROMPT", help="what to keep away from, with each of the prompts"
    )
    group.add_argument("--seeds", nargs="+", metavar="N", help="unless set, each picture gets one from --plan-seed")
    group.add_argument("--inference-steps", nargs="+", metavar="N", help="turns of the denoising loop")
    group.add_argument("--guidance-scales", nargs="+", metavar="X", help="how closely to follow the prompt")
    group.add_argument("--output-size", metavar="WxH", help="in pixels: 512x768, or 512 for a square")
    group.add_argument("--scheduler", metavar="CLASS", help="another scheduler of diffusers, by its class name")
    group.add_argument(
        "--output", metavar="FILE",
        help="the file to write, in which {{ seed }}, {{ prompt | slug }} and so on are replaced",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Make the pictures that `options` ask for, or show how; return the exit code."""
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.generate_script import script
    from aquatint.source import Source

    if any("\ud800" <= character <= "\udfff" for word in _words(options) for character in word):
        raise Refusal("not-utf-8", "an argument is not text in UTF-8")
    diagnostics = Diagnostics()
    text = script(_request(options, diagnostics))
    source = Source(NAME, text)
    if diagnostics.has_errors:
        # What the rest of the command line comes to is checked as well, so that all mistakes are told at once.
        report([*diagnostics.items, *evaluate(source, options).diagnostics], options)
        return WRONG
    if options.emit_script:
        sys.stdout.write(_heading(options) + text)
        return DONE
    return show(source, options) if options.plan else concluded(session(options).feed(source), options)


def _words(options: argparse.Namespace) -> Iterator[str]:
    """Yield the arguments that texts are made of."""
    for value in vars(options).values():
        yield from [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _heading(options: argparse.Namespace) -> str:
    """Return a comment with the options that aren't a script's business, or nothing if there are none."""
    told = (
        ("--device", options.device, None), ("--plan-seed", options.plan_seed, 0),
        ("--output-dir", options.output_dir, Path()), ("--existing", options.existing, "number"),
        ("--threads", options.threads, None),
    )  # fmt: skip
    words = [word for name, value, default in told if value != default for word in (name, str(value))]
    return f"# aquatint run FILE {' '.join(map(_shown, words))}\n\n" if words else ""


def _shown(word: str) -> str:
    # A line break would end the comment.
    return shlex.quote("".join(character if character.isprintable() else "?" for character in word))


def _request(options: argparse.Namespace, diagnostics: Diagnostics) -> Request:
    """Return what `options` ask for, without what is wrong in them, which is reported."""
    from aquatint.interface.generate_script import Request
    from aquatint.interface.submodel_uri import ABSENT

    return Request(
        source=options.model,
        prompts=_prompts(options, diagnostics),
        negative_prompts=options.negative_prompts or (),
        settings=_settings(options),
        submodules=_submodules(options, diagnostics),
        quantizers=[None if uri in ABSENT else uri for uri in options.quantizer or ()],
        guidance_scales=[
            float(text) if re.search(r"[.eE]", text) else int(text)
            for text in _matching(_NUMBER, "--guidance-scales", options.guidance_scales, "a number", diagnostics)
        ],
        inference_steps=_integers("--inference-steps", options.inference_steps, diagnostics),
        seeds=_integers("--seeds", options.seeds, diagnostics),
        size=_size(options.output_size, diagnostics),
        scheduler=options.scheduler,
        output=options.output,
    )


def _settings(options: argparse.Namespace) -> dict[str, str | list[str]]:
    """Return the model's own settings by their names in a script."""
    from aquatint.interface.submodel_uri import ABSENT

    given = {
        "subfolder": options.subfolder,
        "revision": options.revision,
        "type": options.model_type,
        "dtype": None if options.dtype == "auto" else options.dtype,
        "variant": options.variant,
    }
    made: dict[str, str | list[str]] = {
        name: text for name, text in given.items() if text is not None and text not in ABSENT
    }
    if options.quantizer_map and not (len(options.quantizer_map) == 1 and options.quantizer_map[0] in ABSENT):
        made["quantizer_map"] = [name.replace("-", "_") for name in options.quantizer_map]
    return made


def _submodules(options: argparse.Namespace, diagnostics: Diagnostics) -> dict[str, Submodule | None]:
    """Return the submodules that are told of, by role; None are those to leave out."""
    from aquatint.interface.submodel_uri import OWN, parse_submodule

    uris = {"unet": options.unet, "transformer": options.transformer}
    for number, uri in enumerate(options.text_encoders or (), start=1):
        uris["text_encoder" if number == 1 else f"text_encoder_{number}"] = uri
    uris |= {"vae": options.vae, "image_encoder": options.image_encoder}
    if options.control_nets:
        uris["controlnet"] = options.control_nets[0]
        for uri in options.control_nets[1:]:
            span = _whole("--control-nets", uri)
            diagnostics.error("not-supported-yet", "this version can't put several controlnets into a model", span)
    names = {"controlnet": "--control-nets"}
    made: dict[str, Submodule | None] = {}
    for role, uri in uris.items():
        if uri is None or uri.strip() == OWN:
            continue
        option = names.get(role, "--text-encoders" if role.startswith("text_") else f"--{role.replace('_', '-')}")
        made[role] = parse_submodule(option, uri, diagnostics)
    return made


def _prompts(options: argparse.Namespace, diagnostics: Diagnostics) -> list[Prompt]:
    from aquatint.interface.generate_script import Prompt

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
    from aquatint.source import Source, Span

    return Span(Source(option, text), start, max(len(text), start + 1))
