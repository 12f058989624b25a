"""Every tensor that a module holds, wherever the libraries put it: to copy, to count, to drop.

Beside parameters and buffers these are what backends hang on parameters and layers: the scales, code tables and nested
states of bitsandbytes, what sdnq's layers carry, and the inner tensors of parameters that are wrappers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from aquatint.runtime.torch_engine.backend import is_owned


def held(torch: Any, module: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield (owner, attribute, tensor) for every tensor below `module`; a tensor may have several owners.

    The owner of a parameter or a buffer is its tensor itself, with the attribute "data".
    """
    seen: set[int] = set()
    for layer in module.modules():
        for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                yield from _own(torch, tensor, seen)
        # Others' attributes, such as a model's config, hold no weights.
        if is_owned(type(layer)):
            yield from _attributes(torch, layer, seen)


def _own(torch: Any, tensor: Any, seen: set[int]) -> Iterator[tuple[Any, str, Any]]:
    """Yield what a parameter or buffer itself holds: its data and what hangs on it, or the tensors in a wrapper."""
    is_wrapper = torch.utils._python_dispatch.is_traceable_wrapper_subclass
    if not is_wrapper(tensor):
        yield tensor, "data", tensor.data
        yield from _attributes(torch, tensor, seen)
        return
    for name in tensor.__tensor_flatten__()[0]:
        inner = getattr(tensor, name)
        if is_wrapper(inner):
            yield from _own(torch, inner, seen)
        else:
            yield tensor, name, inner


def _attributes(torch: Any, owner: Any, seen: set[int]) -> Iterator[tuple[Any, str, Any]]:
    for name, value in list(getattr(owner, "__dict__", {}).items()):
        if isinstance(value, torch.nn.Module) or name in ("_parameters", "_buffers", "_modules"):
            continue
        if isinstance(value, torch.Tensor):
            yield owner, name, value
        elif is_owned(type(value)) and not isinstance(value, type) and id(value) not in seen:
            seen.add(id(value))
            yield from _attributes(torch, value, seen)


ALIGNMENT = 64
"""Bytes that torch begins a tensor of the CPU at a multiple of."""


def copy_afresh(torch: Any, module: Any, mapped: bool = True) -> None:
    """Move every tensor below `module` into memory of its own; with `mapped` false those alone that have none.

    A weight that is mapped from its file starts where the file has it. The CPU's matrix products take other paths for
    other alignments and round differently, so the same weights gave other bits. Tensors that shared memory still do.
    """
    wanting = [_place(tensor) for _, _, tensor in held(torch, module) if mapped or not _stands_alone(tensor)]
    if not wanting:
        return
    shares = Counter(wanting)
    shared: dict[tuple[Any, ...], Any] = {}
    with torch.no_grad():
        # One tensor at a time, so that at no time all of them are there twice.
        for owner, name, tensor in held(torch, module):
            if not mapped and _stands_alone(tensor):
                continue
            place = _place(tensor)
            copy = shared[place] if place in shared else tensor.detach().clone(memory_format=torch.preserve_format)
            if shares[place] > 1:
                shared[place] = copy
            setattr(owner, name, copy)


def total_bytes(torch: Any, module: Any) -> int:
    """Return the bytes of all tensors below `module`, shared ones once."""
    sizes = {_place(tensor): tensor.numel() * tensor.element_size() for _, _, tensor in held(torch, module)}
    return sum(sizes.values())


def drop(torch: Any, module: Any) -> None:
    """Empty every tensor below `module`, which is useless then: the memory is free even while someone holds it."""
    with torch.no_grad():
        for owner, name, tensor in list(held(torch, module)):
            setattr(owner, name, torch.empty(0, dtype=tensor.dtype))


def _stands_alone(tensor: Any) -> bool:
    """Return whether `tensor` lies as a new one would: at torch's alignment, in memory that ends with it."""
    return bool(tensor.data_ptr() % ALIGNMENT == 0 and tensor.untyped_storage().nbytes() == tensor.nbytes)


def _place(tensor: Any) -> tuple[Any, ...]:
    return tensor.device.type, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype
