"""Stands in for a submodule of a pipeline, so that a call can begin before the submodule is loaded and wait for it.

A pipeline made of stand-ins is the library's own, with its own code: what it asks of a submodule goes to the live
module where there is one. Where there is none, what the checkpoint's configuration says is answered by it, and whatever
needs weights waits: how one waits is `calls`' business.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aquatint.catalog.ip_adapters import TIMED
from aquatint.plan.steps import Component
from aquatint.runtime.engine import Loaded
from aquatint.runtime.torch_engine.ip_adapters import foretold, foretold_processors
from aquatint.runtime.torch_engine.libraries import Libraries
from aquatint.runtime.torch_engine.moving import moved
from aquatint.runtime.torch_engine.skeletons import configuration, skeleton

Path = tuple[str, ...]
"""The names that lead to a module inside of a component, or to something else in it; empty for the component."""

Remember = Callable[["Place", Path, tuple[Any, ...], dict[str, Any]], Any]
"""Calls the module at a path of a place by way of what is remembered of it, with these arguments."""


@dataclass(frozen=True, slots=True)
class Worn:
    """A LoRA that a submodule, in that role, has on in some pipelines: its own place, and how much of it."""

    place: Place
    weight: float
    role: str


@dataclass(frozen=True, slots=True)
class WornVectors:
    """A textual inversion that a text encoder has on in some pipelines: its own place, and which tensor of its file.

    `first` is the number of the first of the `count` tokens that stand for it.
    """

    place: Place
    tensor: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class WornPictures:
    """An IP-Adapter that a denoiser has on in some pipelines: its own place, and how much its pictures count."""

    place: Place
    scale: float


AnyWorn = Worn | WornVectors | WornPictures
"""What a submodule has on in some pipelines."""


def put_inside(modules: Sequence[tuple[Any, dict[str, Any]]]) -> None:
    """Let each of these modules be made of those in its dictionary."""
    for each, inside in modules:
        each._modules.clear()
        each._modules.update(inside)


@dataclass(eq=False)
class Place:
    """A submodule's place in pipelines: the live module, while it is there, and what was said in its name before.

    An adapter has a place of its own, and what is live there is no module. A submodule that has other adapters on, its
    `worn`, in another pipeline has another place there, and the same live module, which `wear` dresses for its calls.

    `device` is where the pipelines are that it is a place in. Where the module is on another one, what it is given
    comes there, and what it makes goes back: to its pipelines it is where they are.

    `wait` is called when the module is needed and isn't there; it returns when it is. `remember`, if it is not None,
    carries calls of modules out. `corrections` counts the times that the module contradicted what had been
    said in its name: calls that began before have to begin again.
    """

    libraries: Libraries
    component: Component
    found: Any  # the module's class
    device: str
    wait: Callable[[Place], None]
    wear: Callable[[Place], None]
    remember: Remember | None = None
    worn: tuple[AnyWorn, ...] = ()
    live: Any = None
    corrections: int = 0
    _said: dict[Path, Any] = field(default_factory=dict)
    _is_watched: bool = False
    _whole: list[tuple[Any, dict[str, Any]]] = field(default_factory=list, repr=False)

    def attach(self, loaded: Loaded) -> None:
        """Let the module of `loaded` be there, and correct what was said in its name."""
        self.live = loaded.object
        if self._is_watched:
            self.watch()
            self.corrections += 1  # what a call took apart was another one
        for path, said in self._said.items():
            if not _is_same(truth := self._out(at(self.live, path)), said):
                self._said[path] = truth
                self.corrections += 1

    def detach(self) -> None:
        """Let no module be there."""
        self.live = None
        self._whole.clear()

    def watch(self) -> None:
        """Remember what the module is made of, now or when it is there: there are pipelines that change that."""
        self._is_watched = True
        self._whole = [] if self.live is None else [(each, dict(each._modules)) for each in self.live.modules()]

    def put_together(self) -> list[tuple[Any, dict[str, Any]]]:
        """Let the module be made of what it was made of, and return what was changed: modules, and what was in them."""
        changed = [(each, dict(each._modules)) for each, inside in self._whole if each._modules != inside]
        put_inside([(each, inside) for each, inside in self._whole if each._modules != inside])
        return changed

    @property
    def adapters(self) -> tuple[Place, ...]:
        """The places of what the module has on."""
        return tuple(each.place for each in self.worn)

    @property
    def loras(self) -> tuple[Worn, ...]:
        """The LoRAs that the module has on."""
        return tuple(each for each in self.worn if isinstance(each, Worn))

    @property
    def vectors(self) -> tuple[WornVectors, ...]:
        """The textual inversions that the module has on."""
        return tuple(each for each in self.worn if isinstance(each, WornVectors))

    @property
    def pictures(self) -> tuple[WornPictures, ...]:
        """The IP-Adapters that the module has on, in the order of a call's pictures."""
        return tuple(each for each in self.worn if isinstance(each, WornPictures))

    def module(self) -> Any:
        """Return the live module with its adapters on, after waiting for them if need be."""
        needed = (self, *self.adapters)
        # What was there may be gone when another one comes.
        while (missing := next((place for place in needed if place.live is None), None)) is not None:
            missing.wait(missing)
        self.wear(self)
        return self.live

    @functools.cached_property
    def skeleton(self) -> Any:
        """The module without weights."""
        return skeleton(self.libraries, self.component, self.found)

    @functools.cached_property
    def here(self) -> Any:
        """The torch device of the pipelines, with its number."""
        return _torch_device(self.libraries.torch, self.device)

    @functools.cached_property
    def there(self) -> Any:
        """The torch device of the module, with its number."""
        return _torch_device(self.libraries.torch, self.component.device)

    def _in(self, value: Any) -> Any:
        """Return what the module is given, where it is."""
        return value if self.here == self.there else moved(self.libraries.torch, value, self.here, self.there)

    def _out(self, value: Any) -> Any:
        """Return what the module has or makes, where its pipelines are."""
        return value if self.here == self.there else moved(self.libraries.torch, value, self.there, self.here)

    def ask(self, path: Path) -> Any:
        """Return what the module has at `path`, or something that waits for it."""
        if path[0] in _ADAPTED and self.pictures:
            # A pipeline looks at the projections before it needs the denoiser, and at its processors to put them back.
            if path == _PROCESSORS and self.live is None and self._is_timed:
                return foretold_processors(self.libraries, self.pictures[0].scale)
            return self.projections if path == _PROJECTED else self.inside(path)
        if self.live is None and path in self._said:
            return _handed_out(self._said[path])
        if self.live is None and path in _TOLD:
            return self._say(path, self._told(path[0]))
        value = at(self.live if self.live is not None else self.skeleton, path)
        torch = self.libraries.torch
        if isinstance(value, torch.nn.Module):
            return stand_in(self, path)
        if self.live is not None and not inspect.ismethod(value):
            return self._out(value)
        if isinstance(value, torch.Tensor):
            return self._out(self.inside(path))
        if inspect.ismethod(value):
            return self._later(path, value)
        return self._say(path, value)

    @property
    def _is_timed(self) -> bool:
        return any(each.place.component.class_name == TIMED for each in self.pictures)

    @functools.cached_property
    def projections(self) -> Any:
        """What a pipeline may know of the projections of its IP-Adapters before they are there."""
        return foretold(self.libraries, [each.place.component for each in self.pictures])

    def call(self, path: Path, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what the module at `path` makes of the arguments."""
        args, kwargs = self._in(args), self._in(kwargs)
        if self.remember is not None:
            return self._out(self.remember(self, path, args, kwargs))
        return self._out(self.inside(path)(*args, **kwargs))

    def inside(self, path: Path) -> Any:
        """Return what the live module has at `path`."""
        return at(self.module(), path)

    def _told(self, name: str) -> Any:
        match name:
            case "config":
                return configuration(self.component, self.found)
            case "dtype":
                assert self.component.dtype is not None
                return getattr(self.libraries.torch, self.component.dtype)
            case _:
                return self.here

    def _say(self, path: Path, value: Any) -> Any:
        return _handed_out(self._said.setdefault(path, value))

    def _later(self, path: Path, method: Any) -> Any:
        """Return a method that waits for the module: pipelines look at the arguments of some without a call."""

        @functools.wraps(method)
        def wait_and_call(*args: Any, **kwargs: Any) -> Any:
            if path == ("forward",):
                return self.call((), args, kwargs)
            return self._out(self.inside(path)(*self._in(args), **self._in(kwargs)))

        return wait_and_call


class StandIn:
    """What a pipeline has in the place of a submodule, or of a module inside of one; its class is one of its own."""

    _place: Place
    _path: Path

    def __init__(self, place: Place, path: Path) -> None:
        object.__setattr__(self, "_place", place)
        object.__setattr__(self, "_path", path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._place.call(self._path, args, kwargs)

    def modules(self) -> Iterator[Any]:
        """Yield the modules, or itself alone: pipelines look for the hooks of offloading, which nothing here has."""
        live = self._place.live
        return iter((self,)) if live is None else iter(at(live, self._path).modules())

    def __getattr__(self, name: str) -> Any:
        # Hooks of offloading, and the protocols of copying and comparing: nothing that a stand-in has.
        if name.startswith(("__", "_hf", "_diffusers")) or (name in _STATE and self._place.live is None):
            raise AttributeError(name)
        return self._place.ask((*self._path, name))

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._place.inside(self._path), name, value)

    def __getitem__(self, index: Any) -> Any:
        return self._place._out(self._place.inside(self._path)[index])

    def __iter__(self) -> Iterator[Any]:
        return iter(self._place.inside(self._path))

    def __len__(self) -> int:
        return len(self._place.inside(self._path))

    def __bool__(self) -> bool:
        return True


def stand_in(place: Place, path: Path = ()) -> Any:
    """Return a stand-in for the module of `place`, or for the one at `path` inside of it."""
    inner: Any = place.found
    if path:
        inner = type(at(place.live if place.live is not None else place.skeleton, path))
    return _class_for(inner)(place, path)


def at(value: Any, path: Path) -> Any:
    """Return what `value` has at `path`."""
    for name in path:
        value = getattr(value, name)
    return value


@functools.cache
def _torch_device(torch: Any, device: str) -> Any:
    # The number of the one that is meant by a name without one is torch's to say.
    return torch.empty(0, device=device).device


@functools.cache
def _class_for(module_class: Any) -> Any:
    """Return the class of stand-ins for modules of `module_class`, of which they say they are."""
    # `isinstance` believes `__class__`; diffusers reads where a class is from, and what it is called.
    body = {"__class__": property(lambda self: module_class), "__module__": module_class.__module__}
    return type(module_class.__name__, (StandIn,), body)


def _handed_out(value: Any) -> Any:
    """Return what a pipeline may empty, as those do that give a module its attention processors back."""
    return dict(value) if type(value) is dict else value


def _is_same(said: Any, guess: Any) -> bool:
    if said is guess:
        return True
    try:
        return bool(said == guess) or _plain(said) == _plain(guess) or _are_alike(said, guess)
    except Exception:
        return False


def _are_alike(these: Any, those: Any) -> bool:
    """Return whether dicts have equal objects by the same names: each module has attention processors of its own."""
    if not (isinstance(these, dict) and isinstance(those, dict) and these.keys() == those.keys()):
        return False
    pairs = [(these[name], those[name]) for name in these]
    return all(this == that or (type(this) is type(that) and vars(this) == vars(that)) for this, that in pairs)


def _plain(value: Any) -> Any:
    """Return a configuration as a dict without what only says where it came from."""
    items = value.to_dict() if hasattr(value, "to_dict") else dict(value)
    return {name: item for name, item in items.items() if not name.startswith("_") and name not in _ORIGIN}


# What pipelines do to every submodule in the end; one that isn't loaded has nothing to reset.
_STATE = ("_reset_stateful_cache",)
# What is known without a skeleton.
_TOLD = (("config",), ("dtype",), ("device",))
# What a denoiser has otherwise with IP-Adapters on.
_PROJECTED, _PROCESSORS = ("encoder_hid_proj",), ("attn_processors",)
_ADAPTED = ("encoder_hid_proj", "attn_processors")
# Set while a component is loaded, and read by no pipeline.
_ORIGIN = ("quantization_config", "torch_dtype", "dtype", "transformers_version", "architectures")
