"""Makes the images of one call with a live pipeline, so that nothing of one call reaches the next."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy
from PIL.Image import Image, fromarray

from aquatint.catalog import media, schedulers
from aquatint.catalog.ip_adapters import MASKS
from aquatint.catalog.pipelines import PipelineInfo
from aquatint.catalog.pipelines import pipeline as pipeline_info
from aquatint.diagnostics import did_you_mean
from aquatint.runtime.engine import EngineError, Generation, OnStep
from aquatint.runtime.media import Clip, Medium, Sound, Tensors
from aquatint.runtime.torch_engine import tensors, weighters
from aquatint.runtime.torch_engine.faults import engine_error
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.memory import Slack

OURS = frozenset({"generator", "return_dict", "callback_on_step_end", "num_images_per_prompt"})
"""Call arguments of a pipeline that a script does not decide: what is in a call, and its seeds, are the plan's."""

# Who knows how many samples of a sound there are in a second, and what they call it, in order.
_RATES = (
    (None, "sample_rate"), (None, "audio_sample_rate"), ("vocoder", "output_sampling_rate"),
    ("vocoder", "sampling_rate"), ("sound_tokenizer", "sampling_rate"),
    ("vae", "sampling_rate"), ("unet", "sample_rate"),
)  # fmt: skip
_LOUDEST = 32767
_SCALE = "controlnet_conditioning_scale"

Told = Sequence[warnings.WarningMessage]
"""What Python has warned of while a call ran."""


class _Stopped(Exception):
    """What `on_step` raised, carried through the library's loop."""

    def __init__(self, cause: BaseException) -> None:
        self.cause = cause


def work(
    libraries: Libraries, make: Callable[[], Any], generation: Generation, on_step: OnStep, device: str = "cpu"
) -> Callable[[Told], list[Medium]]:
    """Return what makes the media with a pipeline of its own, which `make` returns; it is given what Python warns of.

    Raises `EngineError` for arguments that no call takes; what is returned raises it, too, and whatever `on_step` does.
    """
    taken = sorted(OURS & set(generation.arguments))
    if taken:
        raise EngineError(f"`{taken[0]}` can't be an argument of `generate`: the program sets it")

    def generate(told: Told) -> list[Medium]:
        pipeline = make()
        arguments = {name: tensors.live(libraries.torch, each, device) for name, each in generation.arguments.items()}
        if MASKS in arguments:
            others = arguments.get("cross_attention_kwargs") or {}
            arguments["cross_attention_kwargs"] = {**others, MASKS: _masks(libraries, arguments)}
        name = type(pipeline).__name__
        known = inspect.signature(type(pipeline).__call__).parameters
        unknown = [argument for argument in arguments if argument not in known]
        if unknown:
            # Some pipelines take any keyword and ignore it.
            help = did_you_mean(unknown[0], set(known) - OURS - {"self", "kwargs"}, "arguments")
            raise EngineError(f"{name} has no argument `{unknown[0]}`", help)
        info = pipeline_info(name)
        arguments |= _scales(pipeline, arguments, known)
        if "output_type" in known:
            arguments.setdefault("output_type", _output_type(info))
        if "callback_on_step_end" in known:
            arguments["callback_on_step_end"] = _reporter(on_step)
        own = getattr(pipeline, "scheduler", None)
        if own is not None:
            pipeline.scheduler = fresh_scheduler(libraries, own, generation.scheduler)
        elif generation.scheduler is not None:
            raise EngineError(f"{name} has no part that is called `scheduler`")
        # Each image has its own, so that its noise is the same whatever else is in the call.
        generators = [libraries.torch.Generator("cpu").manual_seed(seed) for seed in generation.seeds]
        generator = generators[0] if len(generators) == 1 else generators
        weighter = generation.weighter
        weighing: AbstractContextManager[Mapping[str, Any]] = nullcontext(arguments)
        if weighter is not None:
            weighing = weighters.of(weighter.plugin).weighing(libraries, pipeline, arguments, weighter.options)
        try:
            with engine_error(f"{name} can't make this image"), libraries.torch.no_grad(), weighing as given:
                seeded = {"generator": generator} if {"generator", "kwargs"} & known.keys() else {}
                made = pipeline(**given, **seeded)
                return _media(libraries.torch, made, generation, pipeline, told)
        except EngineError as error:
            if isinstance(error.__cause__, _Stopped):
                raise error.__cause__.cause from None
            raise

    return generate


def _masks(libraries: Libraries, arguments: dict[str, Any]) -> list[Any]:
    """Take the masks of IP-Adapters out of `arguments`, and return them as layers take them.

    Each is [1, 1, height, width] of zeros and ones, and of the size of the picture where that is said. Raises
    `EngineError`.
    """
    given = arguments.pop(MASKS)
    size = {name: arguments[name] for name in ("height", "width") if name in arguments}
    processor = libraries.diffusers.image_processor.IPAdapterMaskProcessor()
    with engine_error("can't prepare the masks of the IP-Adapters"):
        return [processor.preprocess([each], **size) for each in (given if isinstance(given, list) else [given])]


def _scales(pipeline: Any, arguments: Mapping[str, Any], known: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Return the strength of each of several controlnets, where one number is for all of them.

    Some pipelines make a list of that themselves; those with a transformer go through the number as if it were one.
    """
    nets = getattr(getattr(pipeline, "controlnet", None), "nets", ())
    if len(nets) < 2 or _SCALE not in known:
        return {}
    scale = arguments.get(_SCALE, known[_SCALE].default)
    return {_SCALE: [float(scale)] * len(nets)} if isinstance(scale, int | float) else {}


def fresh_scheduler(libraries: Libraries, scheduler: Any, asked: str | None) -> Any:
    """Return a new scheduler configured as `scheduler` is, of the class and with the options `asked` for, if any.

    Raise `EngineError` if that can't be.
    """
    wanted = type(scheduler)
    given = schedulers.read(asked or schedulers.OWN, wanted.__name__)
    if given.errors:
        raise EngineError(given.errors[0].message, given.errors[0].help)
    class_name = given.class_name
    if class_name is not None and class_name != wanted.__name__:
        found = getattr(libraries.diffusers, class_name, None)
        # A scheduler of another kind would run, and give noise.
        allowed = schedulers.substitutes(wanted.__name__)
        if not (isinstance(found, type) and class_name in allowed):
            names = ", ".join(f"`{name}`" for name in allowed) or f"`{wanted.__name__}`"
            raise EngineError(
                f"the scheduler `{class_name}` can't stand in for `{wanted.__name__}`", f"schedulers: {names}"
            )
        wanted = found
    with engine_error(f"can't make the scheduler `{wanted.__name__}`"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wanted.from_config(scheduler.config, **given.options)


def _reporter(on_step: OnStep) -> Any:
    slack = Slack()

    def report(pipeline: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        # Some schedulers take more steps than they were asked for, and the pipeline then knows how many.
        total = getattr(pipeline, "num_timesteps", None)
        scheduler = getattr(pipeline, "scheduler", None)
        if not total:
            total = step + 1 if scheduler is None else len(scheduler.timesteps)
        try:
            on_step(step + 1, int(total))
        except Exception as error:
            raise _Stopped(error) from error
        slack.look(over=step + 1 >= total)
        # Nothing is changed. Some pipelines take for this step's what they call by the same name: all windows' latents.
        return {}

    return report


def _output_type(info: PipelineInfo | None) -> str:
    """Return in which form a pipeline is asked for what it makes."""
    if info is None:
        return "pil"
    return "pt" if media.tensors_of(info) else "np" if media.makes_audio(info) else "pil"


def _media(torch: Any, made: Any, generation: Generation, pipeline: Any, told: Told) -> list[Medium]:
    name, count = type(pipeline).__name__, len(generation.seeds)
    info = pipeline_info(name)
    undecoded = media.UNDECODED.get(str(generation.arguments.get("output_type")))
    if undecoded is not None or (info and media.tensors_of(info)):
        if (handed_on := _tensors(torch, made, undecoded)) is None:
            raise EngineError(f"{name} makes no tensors")
        return [handed_on]
    # All that is heard of a picture of NaN: numpy's remark on casting it, and the picture is black.
    if any(issubclass(each.category, RuntimeWarning) and "in cast" in str(each.message) for each in told):
        raise EngineError(
            f"{type(pipeline).__name__} made a picture of numbers that are none (NaN)",
            "float16 overflows in some models: take `dtype: float32` or `bfloat16`, for the `vae` first of all",
        )
    found: Any
    if info is not None and media.makes_audio(info):
        rate, found = _sampling_rate(pipeline), list(made.audios)
        mediums: list[Medium] = [_sound(each, rate, name) for each in found]
    else:
        found = _made(made, list | tuple | numpy.ndarray)
        if info and media.kind_of(info) == "video" and found is not None and _medium(found) is not None:
            found = [found]  # the frames of one video, which is all that some make
        elif info and media.kind_of(info) == "image" and found is not None:
            found = [_alone(each, name) for each in found]
        mediums = [medium for each in found if (medium := _medium(each)) is not None] if found is not None else []
        if info is not None and media.has_soundtrack(info):
            mediums = _with_sound(mediums, made, pipeline)
    if not mediums or found is None or len(mediums) < len(found):
        raise EngineError(f"{name} makes no pictures")
    if count > 1 and len(mediums) != count:
        raise EngineError(
            f"{name} made {len(mediums)} pictures for {count} prompts",
            "leave `images_per_batch` out: each image then has a call of its own",
        )
    return mediums[:count]


def _alone(made: Any, name: str) -> Any:
    """Return the picture that one seed has come to, also where a pipeline lists its pictures by seed."""
    if not isinstance(made, list):
        return made
    if len(made) > 1:
        raise EngineError(f"{name} made {len(made)} pictures of one seed", "ask for one: a file holds one picture")
    return made[0] if made else None


def _tensors(torch: Any, made: Any, undecoded: str | None) -> Tensors | None:
    """Return the tensors that a call has come to: what it left `undecoded`, or all that its pipeline makes."""
    found = dict(made.items())
    if undecoded is not None:
        found = {undecoded: _made(made, torch.Tensor), media.SOUNDTRACK_LATENTS: _soundtrack(made)}
    kept = {name: tensors.kept(torch, each) for name, each in found.items() if isinstance(each, torch.Tensor)}
    return Tensors(kept) if kept else None


def _made(made: Any, kinds: Any) -> Any:
    """Return what a call calls its pictures, videos or sound, if that is one of `kinds`, else None."""
    named = (getattr(made, name, None) for name in (*media.PICTURES, *media.VIDEOS, *media.SOUNDS))
    return next((each for each in named if isinstance(each, kinds)), None)


def _soundtrack(made: Any) -> Any:
    """Return the sound that a call has made beside videos, for all its seeds; None if there is none this time."""
    return next((found for name in media.SOUNDTRACKS if (found := getattr(made, name, None)) is not None), None)


def _with_sound(clips: list[Medium], made: Any, pipeline: Any) -> list[Medium]:
    """Return the videos of a call, each with the sound that was made beside it. Raises `EngineError`."""
    if (found := _soundtrack(made)) is None:
        return clips
    rate, name = _sampling_rate(pipeline), type(pipeline).__name__
    # Some pipelines give numbers of torch's, of types that numpy lacks.
    sounds = [_sound(each.float().cpu() if hasattr(each, "cpu") else each, rate, name) for each in found]
    if len(sounds) != len(clips):
        raise EngineError(f"{name} made {len(clips)} videos and sound for {len(sounds)}")
    return [
        Clip(clip.frames, sound) if isinstance(clip, Clip) else clip for clip, sound in zip(clips, sounds, strict=True)
    ]


def _sampling_rate(pipeline: Any) -> int:
    """Return how many samples in a second the sound of a pipeline has. Raises `EngineError`."""
    for role, name in _RATES:
        part = pipeline if role is None else getattr(getattr(pipeline, role, None), "config", None)
        if isinstance(rate := getattr(part, name, None), int):
            return rate
    raise EngineError(f"nothing in a {type(pipeline).__name__} says how many samples in a second its sound has")


def _sound(made: Any, rate: int, name: str) -> Sound:
    """Return what one seed has come to: numbers from -1 to 1, shaped [samples] or [channels, samples].

    What is beyond is cut off, as it is by programs that write such files.
    """
    values = numpy.atleast_2d(numpy.asarray(made, numpy.float32))
    if values.ndim != 2 or not values.size:
        raise EngineError(f"{name} makes no sound")
    if numpy.isnan(values).any():
        raise EngineError(
            f"{name} made sound of numbers that are none (NaN)",
            "float16 overflows in some models: take `dtype: float32` or `bfloat16`, for the `vae` first of all",
        )
    samples = numpy.rint(numpy.clip(values, -1, 1) * _LOUDEST).astype("<i2")
    return Sound(len(samples), rate, samples.T.tobytes())


def _medium(made: Any) -> Medium | None:
    """Return what one seed has come to: a picture, or a list of them, which is a video. None for anything else.

    Some pipelines make arrays of numbers from 0 to 1 of both, whatever they are asked for; they are rounded as
    diffusers does it.
    """
    match made:
        case numpy.ndarray(ndim=3 | 4) if made.shape[-1] == 3 and made.dtype.kind == "f":
            rounded = (made * 255).round().astype("uint8")
            return _medium([fromarray(frame) for frame in rounded] if made.ndim == 4 else fromarray(rounded))
        case Image():
            return made.convert("RGB")
        case [*frames] if frames and all(isinstance(frame, Image) for frame in frames):
            return Clip(tuple(frame.convert("RGB") for frame in frames))
    return None
