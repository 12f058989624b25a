"""`aquatint generate`: pictures without a script. What it is told becomes one, planned and run like any other."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aquatint
from aquatint.interface.commands.plan import show
from aquatint.interface.commands.run import concluded
from aquatint.interface.exits import DONE, WRONG, Refusal
from aquatint.interface.planning_options import add_planning_options, planning, report
from aquatint.interface.running_options import add_running_options, session

NAME = "<command line>"
"""What messages and pictures call the script."""

_EPILOG = """\
A URI of a submodule is SOURCE;NAME=VALUE..., where NAME is config, dtype, quantizer, revision, subfolder
or variant:
    --unet 'me/better-unet;subfolder=unet;quantizer="bnb;bits=8"'
`+` as its source is the one that the model has, and `null` alone leaves the submodule out.

A URI of an adapter is SOURCE;NAME=VALUE..., too, where NAME is subfolder, weight_name, revision, and weight of
a LoRA, token of a textual inversion, scale or image_encoder_folder of an IP-Adapter:
    --lora 'ink.safetensors;weight=0.8'

A URI of an upscaler or a weighter is PLUGIN;NAME=VALUE..., and its language model's quantizer stands in quotes, too:
    --prompt-upscaler 'magicprompt;variations=2;quantizer="bnb;bits=8"'
"""


def add_parser(commands: Any) -> argparse.ArgumentParser:
    """Declare the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "generate", help="make pictures without a script; `--emit-script` shows the script that it comes to",
        epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument(
        "model", metavar="MODEL",
        help="a folder in the diffusers layout, a hub id, a safetensors file, `builtin:NAME`; write it first, since "
        "lists take every word up to the next option",
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
    group.add_argument(
        "--config", metavar="FOLDER", help="a folder or hub id with the configurations of MODEL that is a single file"
    )
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
    group.add_argument(
        "--control-nets",
        nargs="+",
        metavar="URI",
        help="a controlnet for the model, or the settings of its own; several, each steered by a picture",
    )
    group.add_argument("--lora", nargs="+", action="extend", metavar="URI", help="LoRAs for the model, all together")
    group.add_argument(
        "--textual-inversion", nargs="+", action="extend", metavar="URI", help="textual inversions for the model"
    )
    group.add_argument(
        "--ip-adapter", nargs="+", action="extend", metavar="URI",
        help="IP-Adapters for the model, each with a picture of --ip-adapter-image",
    )  # fmt: skip


def _add_picture_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--prompts", nargs="+", metavar="PROMPT", required=True,
        help="what to draw; behind a `;`, what to keep away from. `\\;` is a `;` of the prompt",
    )  # fmt: skip
    group.add_argument(
        "--negative-prompts", nargs="+", metavar="PROMPT", help="what to keep away from, with each of the prompts"
    )
    group.add_argument(
        "--prompt-upscaler", nargs="+", action="extend", metavar="URI",
        help='what rewrites the prompts, such as "magicprompt;variations=2"; several do so one after the other',
    )  # fmt: skip
    group.add_argument(
        "--prompt-weighter", metavar="URI",
        help="what reads the prompts instead of the pipeline: PLUGIN;option=value",
    )  # fmt: skip
    group.add_argument("--seeds", nargs="+", metavar="N", help="unless set, each picture gets one from --plan-seed")
    group.add_argument("--inference-steps", nargs="+", metavar="N", help="turns of the denoising loop")
    group.add_argument("--guidance-scales", nargs="+", metavar="X", help="how closely to follow the prompt")
    group.add_argument("--output-size", metavar="WxH", help="in pixels: 512x768, or 512 for a square")
    group.add_argument(
        "--images", nargs="+", metavar="FILE",
        help="pictures to begin from, each of which makes as many; with a controlnet, what it is steered by, and with "
        "several one for each",
    )  # fmt: skip
    group.add_argument("--mask-image", metavar="FILE", help="which part to paint anew: what is white")
    group.add_argument(
        "--control-image",
        nargs="+",
        metavar="FILE",
        help="what a controlnet is steered by, where --images are to begin from; one for each",
    )
    group.add_argument(
        "--ip-adapter-image", nargs="+", metavar="FILE", help="what an IP-Adapter looks at; one for each"
    )
    group.add_argument("--strengths", nargs="+", metavar="X", help="how much of --images to paint anew, from 0 to 1")
    group.add_argument(
        "--scheduler", metavar="URI",
        help="another scheduler of diffusers, CLASS;option=value, or +;option=value for the checkpoint's own",
    )  # fmt: skip
    group.add_argument(
        "--images-per-batch", metavar="N",
        help="pictures that one call of the pipeline may make; more than 1 is faster on a large GPU and changes pixels",
    )  # fmt: skip
    group.add_argument("--fps", metavar="X", help="of a video, the frames in a second")
    group.add_argument(
        "--output", metavar="FILE",
        help="the file to write, in which {{ seed }}, {{ prompt | slug }} and so on are replaced; {{ written | slug }} "
        "is a prompt as it was before --prompt-upscaler, {{ number }} which of all it is",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Make the pictures that `options` ask for, or show how; return the exit code."""
    from aquatint.diagnostics import Diagnostics
    from aquatint.interface.generate_request import request
    from aquatint.interface.generate_script import script
    from aquatint.source import Source

    if any("\ud800" <= character <= "\udfff" for word in _words(options) for character in word):
        raise Refusal("not-utf-8", "an argument is not text in UTF-8")
    diagnostics = Diagnostics()
    source = Source(NAME, _canonical(script(request(options, diagnostics))))
    if diagnostics.has_errors:
        # What the rest of the command line comes to is checked as well, so that all mistakes are told at once.
        report([*diagnostics.items, *aquatint.check(source, **planning(options)).diagnostics], options)
        return WRONG
    if options.emit_script:
        sys.stdout.write(_heading(options) + source.text)
        return DONE
    return show(source, options) if options.plan else concluded(session(options).feed(source), options)


def _canonical(text: str) -> str:
    """Return the script `text` as `aquatint fmt` writes it, if it can be read: what it says may have mistakes."""
    from aquatint.source import Source
    from aquatint.syntax.formatting import formatted
    from aquatint.syntax.parser import parse

    parsed = parse(Source(NAME, text))
    return text if parsed.diagnostics.has_errors else formatted(parsed.script)


def _words(options: argparse.Namespace) -> Iterator[str]:
    """Yield the arguments that texts are made of."""
    for value in vars(options).values():
        yield from [value] if isinstance(value, str) else value if isinstance(value, list) else []


def _heading(options: argparse.Namespace) -> str:
    """Return a comment with the options that aren't a script's business, or nothing if there are none."""
    told = (
        ("--device", options.device, None), ("--plan-seed", options.plan_seed, 0),
        ("--output-dir", options.output_dir, Path()), ("--existing", options.existing, "resume"),
        ("--threads", options.threads, None),
    )  # fmt: skip
    words = [word for name, value, default in told if value != default for word in (name, str(value))]
    return f"# aquatint run FILE {' '.join(map(_shown, words))}\n\n" if words else ""


def _shown(word: str) -> str:
    # A line break would end the comment.
    return shlex.quote("".join(character if character.isprintable() else "?" for character in word))
