"""The script that a `generate` of the command line stands for.

Writes text and evaluates nothing: what the settings may be is checked where the script is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import PurePath

from aquatint.catalog.models import ADAPTERS, DTYPES, PART
from aquatint.interface.submodel_uri import Submodule
from aquatint.source import Source

_MARKS = ("{{", "{%", "{#")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_LOOP_NAMES = ("q", "prompt", "negative_prompt", "guidance_scale", "num_inference_steps", "image", "strength",
               "seed", "written", "number")  # fmt: skip
_LISTS = ("prompts", "negative_prompts", "written_prompts")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_DIGITS = 40  # more than that is no number that anything here takes
_UPSCALER = re.compile(r"better(_\d+)?")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to draw, and what to keep away from; `negative` is None where the prompt itself says nothing of it."""

    text: str
    negative: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks for. Lists multiply; an empty one leaves its setting out.

    `settings` are the model's own that are texts, by their names in a script. Of `quantizers`, None is none; of
    `submodules`, None is one that is left out; `adapters` have the words that begin their blocks. `negative_prompts` go
    with every prompt, so that with any of them no prompt has its own. `pictures` are the files of those arguments that
    take one, or one for each controlnet. `output` is a template, in which `written` is a prompt as it was before any
    upscaler, and `number` which of all it is. Each of `upscalers` rewrites what the one before it has written.
    """

    source: str
    prompts: Sequence[Prompt]
    settings: Mapping[str, str] = field(default_factory=dict)
    submodules: Mapping[str, Submodule | None] = field(default_factory=dict)
    adapters: Sequence[tuple[str, Submodule]] = ()
    quantizers: Sequence[str | None] = ()
    quantizer_map: Sequence[str] = ()
    negative_prompts: Sequence[str] = ()
    guidance_scales: Sequence[int | float] = ()
    images: Sequence[str] = ()
    strengths: Sequence[int | float] = ()
    pictures: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    inference_steps: Sequence[int] = ()
    seeds: Sequence[int] = ()
    size: tuple[int, int] | None = None
    scheduler: str | None = None
    output: str | None = None
    images_per_batch: int | None = None
    fps: int | float | None = None
    upscalers: Sequence[str] = ()
    weighter: str | None = None


def script(request: Request) -> str:
    """Return the text of the script that does what `request` asks for."""
    name = model_name(request.source)
    loops, given = _turns(request)
    target = name if "q" not in loops else f"({name} with {{ quantizer: q }})"
    body = [f"{key}: {value}" for key, value in given.items()]
    body += [f"{name}: {_files(file)}" for name, file in request.pictures.items()]
    if request.size is not None:
        body.append(f"size: {request.size[0]}x{request.size[1]}")
    if request.scheduler is not None:
        body.append(f"scheduler: {quoted(request.scheduler)}")
    if request.weighter is not None:
        body.append(f"weighter: {quoted(request.weighter)}")
    if request.images_per_batch is not None:
        body.append(f"images_per_batch: {request.images_per_batch}")
    if request.fps is not None:
        body.append(f"fps: {request.fps}")
    if request.output is not None:
        body.append(f"output: {_template(request.output)}")
    lines = [*block(f"generate {target}", body)]
    if loops:
        clauses = [f"{variable} in {values}" for variable, values in loops.items()]
        # Prompts are long: a clause a line, unless they all fit.
        joined = "for " + ", ".join(clauses) if len(", ".join(clauses)) <= 90 else "for " + ",\n    ".join(clauses)
        lines = [*f"{joined} {{".split("\n"), *(f"    {line}" for line in lines), "}"]
    upscalers = [
        f"upscaler {name} = {quoted(uri)}" for name, uri in zip(_upscalers(request), request.upscalers, strict=True)
    ]
    return "\n".join([*upscalers, *_model(name, request), "", *_rewritten(request), *lines]) + "\n"


def _files(files: str | Sequence[str]) -> str:
    return quoted(files) if isinstance(files, str) else f"[{', '.join(map(quoted, files))}]"


def model_name(source: str) -> str:
    """Return what a script can call the model of `source`: its last word, as a name that is free."""
    last = PurePath(source.replace("\\", "/")).name.rpartition(":")[2]
    name = re.sub(r"\W+", "_", last, flags=re.ASCII).strip("_").lower()
    if not name or name[0].isdigit():
        name = f"model_{name}".rstrip("_")
    is_taken = name in (*_LOOP_NAMES, *_LISTS) or _UPSCALER.fullmatch(name) is not None
    return f"my_{name}" if is_taken or not is_free(name) else name


def is_free(name: str) -> bool:
    """Return whether a script can bind `name`: a name of ASCII that is no keyword, and nothing's of every script."""
    # Imported here: it takes the parser to know the keywords.
    from aquatint.language.builtins import prelude
    from aquatint.syntax.parser import parse

    is_name = name.isascii() and name.isidentifier() and prelude().find(name) is None
    return is_name and not parse(Source("", f"let {name} = 1")).diagnostics.has_errors


def quoted(text: str) -> str:
    """Return an expression that stands for exactly `text`: nothing in it is a template."""
    is_raw = "'" not in text and text.isprintable()
    looks_like_template = any(mark in text for mark in _MARKS)
    if is_raw and (looks_like_template or "\\" in text or '"' in text):
        return f"'{text}'"
    if not looks_like_template:
        return _template(text)
    # Raw strings have no escapes, the others are templates: what neither can hold is put together.
    runs = groupby(text, key=lambda character: character != "'" and character.isprintable())
    return " + ".join(f"'{run}'" if raw else quoted(run) for raw, run in ((raw, "".join(run)) for raw, run in runs))


def _template(text: str) -> str:
    """Return `text` as a string of the language in which `{{ ... }}` is evaluated."""
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\u{{{ord(character):X}}}"


def _model(name: str, request: Request) -> list[str]:
    lines = [f"source: {quoted(request.source)}"]
    lines += [f"{key}: {_setting(key, value)}" for key, value in request.settings.items()]
    if len(request.quantizers) == 1:
        lines.append(f"quantizer: {_or_none(request.quantizers[0])}")
    if request.quantizer_map:
        lines.append(f"quantizer_map: [{', '.join(map(quoted, request.quantizer_map))}]")
    for role, submodule in request.submodules.items():
        if submodule is None:
            lines.append(f"{role}: none")
        elif inside := _submodule(submodule):
            lines.append(f"{role} {{ {', '.join(inside)} }}")
    lines += [f"{kind} {{ {', '.join(_submodule(adapter, kind))} }}" for kind, adapter in request.adapters]
    return block(f"model {name}", lines)


def _submodule(submodule: Submodule, kind: str | None = None) -> list[str]:
    source = [] if submodule.source is None else [f"source: {quoted(submodule.source)}"]
    return [*source, *(f"{key}: {_setting(key, value, kind)}" for key, value in submodule.settings.items())]


def _setting(key: str, value: str | None, kind: str | None = None) -> str:
    # The names of data types are constants of the language; what is no truth value is told of where the script is.
    known = (PART if kind is None else ADAPTERS[kind]).find(key)
    if known is not None and known.type == "float" and value and _NUMBER.fullmatch(value) and len(value) <= _DIGITS:
        return repr(float(value))
    is_truth = known is not None and known.type == "bool" and value in ("true", "false")
    return value if value and (is_truth or (key == "dtype" and value in DTYPES)) else _or_none(value)


def _turns(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    """Return the loops' names with their lists, and what `generate` is given, both as they are written.

    A list of one value is no loop, unless the output's name tells of it. Prompts that upscalers write always are.
    """
    loops: dict[str, str] = {}
    given: dict[str, str] = {}
    if len(request.quantizers) > 1:
        loops["q"] = _list(map(_or_none, request.quantizers))
    lists = {
        "prompt": [quoted(prompt.text) for prompt in request.prompts],
        "negative_prompt": [quoted(text) for text in request.negative_prompts],
        "guidance_scale": [repr(number) for number in request.guidance_scales],
        "num_inference_steps": [repr(number) for number in request.inference_steps],
        "image": [quoted(file) for file in request.images],
        "strength": [repr(number) for number in request.strengths],
        "seed": [repr(number) for number in request.seeds],
    }
    if _are_pairs(request):
        # Each has its own, so the two go through one loop together.
        pairs = [f"[{quoted(prompt.text)}, {_or_none(prompt.negative)}]" for prompt in request.prompts]
        lists = {"prompt, negative_prompt": pairs, **lists, "prompt": [], "negative_prompt": []}
    if request.upscalers:
        rewritten = {
            "prompt": "prompts", "negative_prompt": "negative_prompts",
            "prompt, negative_prompt": "zip(prompts, negative_prompts)",
        }  # fmt: skip
    else:
        rewritten = {}
    for names, values in lists.items():
        is_told = re.search(rf"\b({names.replace(', ', '|')})\b", request.output or "") is not None
        if values and (names in rewritten or len(values) > 1 or is_told):
            loops[names] = rewritten.get(names) or _list(values)
            given |= {name: name for name in names.split(", ")}
        elif values and names in _LOOP_NAMES:
            given[names] = values[0]
        elif values:
            only = request.prompts[0]
            given |= {"prompt": quoted(only.text), "negative_prompt": _or_none(only.negative)}
    if told := _told_of_prompts(request):
        loops = dict(_with_told(told, names, values) for names, values in loops.items())
    return loops, given


def _told_of_prompts(request: Request) -> dict[str, str]:
    """Return what the output's name has of prompts that upscalers write, which aren't known by then, and its lists.

    `written` is a prompt as it was before, `number` which of all it is.
    """
    lists = {"number": "1..len(prompts)", "written": "written_prompts"} if request.upscalers else {}
    return {name: values for name, values in lists.items() if re.search(rf"\b{name}\b", request.output or "")}


def _with_told(told: Mapping[str, str], names: str, values: str) -> tuple[str, str]:
    if not names.startswith("prompt"):
        return names, values
    lists = [*told.values(), values.removeprefix("zip(").removesuffix(")")]
    return ", ".join([*told, names]), f"zip({', '.join(lists)})"


def _are_pairs(request: Request) -> bool:
    """Return whether a prompt has a negative one of its own."""
    return any(prompt.negative is not None for prompt in request.prompts)


def _upscalers(request: Request) -> list[str]:
    """Return what the script calls the upscalers."""
    return ["better" if number == 1 else f"better_{number}" for number in range(1, len(request.upscalers) + 1)]


def _rewritten(request: Request) -> list[str]:
    """Return the lines that bind the lists of prompts which the upscalers write."""
    if not request.upscalers or not request.prompts:
        return []
    made = {"prompts": _upscaled(request, [prompt.text for prompt in request.prompts])}
    if request.negative_prompts:
        made["negative_prompts"] = _upscaled(request, request.negative_prompts, is_negative=True)
    elif _are_pairs(request):
        runs: list[str] = []
        for is_there, group in groupby(request.prompts, key=lambda prompt: prompt.negative is not None):
            texts = [prompt.negative or "" for prompt in group]
            # A prompt without a negative one has none however many are made of it.
            times = f"{len(texts)} * " if len(texts) > 1 else ""
            none = f"[none] * ({times}len(prompts) // {len(request.prompts)})"
            runs.append(f"({_upscaled(request, texts, is_negative=True)})" if is_there else none)
        made["negative_prompts"] = " + ".join(runs)
    if "written" in _told_of_prompts(request):
        count = len(request.prompts)
        times = "len(prompts)" if count == 1 else f"(len(prompts) // {count})"
        made["written_prompts"] = " + ".join(f"[{quoted(prompt.text)}] * {times}" for prompt in request.prompts)
    return [*(f"let {name} = {value}" for name, value in made.items()), ""]


def _upscaled(request: Request, texts: Sequence[str], *, is_negative: bool = False) -> str:
    """Return the expression for what the upscalers make of `texts`, one after the other."""
    made, part = _list(map(quoted, texts)), ', part: "negative"' if is_negative else ""
    for name in _upscalers(request):
        made = f"upscale {name} {{ prompts: {made}{part} }}"
    return made


def _list(values: Iterable[str]) -> str:
    return f"[{', '.join(values)}]"


def _or_none(text: str | None) -> str:
    return "none" if text is None else quoted(text)


def block(head: str, lines: Iterable[str]) -> list[str]:
    """Return the lines of a block with `lines` in it."""
    return [f"{head} {{", *(f"    {line}" for line in lines), "}"]
