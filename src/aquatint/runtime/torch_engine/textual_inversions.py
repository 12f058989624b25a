"""Textual inversions: words that a pipeline's tokenizers have beside their own, and vectors beside text encoders' own.

The results are those of diffusers' `load_textual_inversion`, which makes a tokenizer's vocabulary and the matrix of an
encoder's embeddings larger. Others share these here: a pipeline gets copies of its tokenizers, and of an encoder
nothing is changed. While it has vectors on, the layer that looks embeddings up is asked for a token that it knows in
the place of a new one, and the vector stands in the place of the answer. So an encoder's layers may be quantized in any
way.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from aquatint.catalog import adapter_files
from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.textual_inversions import READER, tokenizer_of, words
from aquatint.plan.steps import Component, TextualInversionUse
from aquatint.runtime.engine import EngineError, Loaded
from aquatint.runtime.torch_engine.faults import engine_error


@dataclass(eq=False, slots=True)
class Vectors:
    """A textual inversion that is loaded: its tensors, each [vectors, width] or [width], in its file's dtype."""

    tensors: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class WantedVectors:
    """Vectors that an encoder is to have on: the tensor of theirs, and the numbers of tokens from which they are.

    There are `count` of them.
    """

    vectors: Vectors
    tensor: str
    first: int
    count: int


def is_textual_inversion(component: Component) -> bool:
    """Return whether `component` is a textual inversion."""
    return component.class_name == READER


def load(component: Component) -> Loaded:
    """Return the textual inversion that `component` is; raise `EngineError`."""
    from safetensors import safe_open

    try:
        file = adapter_files.path(component.source, component.revision, component.subfolder)
    except CheckpointError as error:
        raise EngineError(error.message, error.help) from error
    with (
        engine_error(f"can't load the textual inversion from `{component.source}`"),
        safe_open(file, framework="pt") as stream,
    ):
        # In memory of its own, not mapped from a file that may change.
        tensors = {name: stream.get_tensor(name).clone() for name in stream.keys()}  # noqa: SIM118
    return Loaded(component, Vectors(tensors), sum(int(tensor.nbytes) for tensor in tensors.values()))


def learned(
    parts: Mapping[str, Any], inversions: Mapping[str, TextualInversionUse]
) -> tuple[dict[str, Any], dict[tuple[str, str], int]]:
    """Return tokenizers with the words of `inversions`, and the numbers of their first tokens.

    `parts` are the tokenizers by role, which stay as they are; the tokenizers returned are, too, and the numbers by the
    roles of the text encoder and of the textual inversion. Raises `EngineError` where a word isn't new.
    """
    made: dict[str, Any] = {}
    first: dict[tuple[str, str], int] = {}
    for role, use in inversions.items():
        own = words(use.token, use.vectors)
        for encoder in use.tensors:
            name = tokenizer_of(encoder)
            tokenizer = made[name] = made[name] if name in made else copy.deepcopy(parts[name])
            there = tokenizer.get_vocab()
            if clash := next((word for word in own if word in there), None):
                raise EngineError(f"`{clash}` is a token of `{name}` already, and can't stand for a textual inversion",
                                  'call it something else: `token: "<word>"`')  # fmt: skip
            with engine_error(f"can't add `{use.token}` to `{name}`"):
                for word in own:
                    tokenizer.add_tokens(word)
                numbers = tokenizer.convert_tokens_to_ids(own)
            if numbers != list(range(numbers[0], numbers[0] + len(own))):
                raise EngineError(f"`{name}` has no numbers in a row for `{use.token}`", "choose another `token`")
            first[encoder, role] = numbers[0]
    return made, first


class _Beside:
    """The hooks of one textual inversion on the layer that looks embeddings up."""

    def __init__(self, wanted: WantedVectors, width: int) -> None:
        tensor = wanted.vectors.tensors[wanted.tensor]
        matrix = tensor.reshape(-1, tensor.shape[-1])
        if tuple(matrix.shape) != (wanted.count, width):
            found, needed = (f"{count} of {size} numbers" for count, size in (matrix.shape, (wanted.count, width)))
            raise EngineError(f"this textual inversion has vectors for another text encoder: {found}, and not {needed}")
        self._matrix, self._first = matrix, wanted.first
        self._places: Any = None
        self._rows: Any = None

    def before(self, module: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments with tokens, of shape [prompts, tokens], that the layer knows."""
        tokens = arguments[0]
        self._places = (tokens >= self._first) & (tokens < self._first + len(self._matrix))
        self._rows = tokens[self._places] - self._first
        return (tokens.masked_fill(self._places, 0), *arguments[1:])

    def after(self, module: Any, arguments: tuple[Any, ...], found: Any) -> Any:
        """Return the embeddings [prompts, tokens, width] with the vectors in their places, in the dtype of `found`."""
        if not len(self._rows):
            return found
        made = found.clone()
        made[self._places] = self._matrix.to(device=found.device, dtype=found.dtype)[self._rows.to(found.device)]
        return made


class TextualInversions:
    """The vectors that live text encoders have on."""

    def __init__(self) -> None:
        self._worn: WeakKeyDictionary[Any, tuple[tuple[WantedVectors, ...], list[Any]]] = WeakKeyDictionary()

    def wear(self, module: Any, wanted: Sequence[WantedVectors]) -> None:
        """Let `module` have exactly the vectors that are `wanted`; raise `EngineError`. After an error it has none."""
        now, _ = self._worn.get(module, ((), []))
        if now == tuple(wanted):
            return
        self.take_off(module)
        handles: list[Any] = []
        self._worn[module] = tuple(wanted), handles
        try:
            layer = module.get_input_embeddings()
            for each in wanted:
                beside = _Beside(each, module.config.hidden_size)
                handles.append(layer.register_forward_pre_hook(beside.before))
                handles.append(layer.register_forward_hook(beside.after))
        except BaseException:
            self.take_off(module)
            raise

    def take_off(self, module: Any) -> None:
        """Let `module` have no vectors but its own."""
        _, handles = self._worn.pop(module, ((), []))
        for handle in handles:
            handle.remove()

    def let_go(self, vectors: Vectors) -> None:
        """Take `vectors` off whatever has them on."""
        for module, (worn, _) in list(self._worn.items()):
            if any(each.vectors is vectors for each in worn):
                self.take_off(module)
