"""A fingerprint of a live module: equal for two modules exactly when they compute the same.

It covers what decides a forward pass: the tree of modules with their classes, every parameter and buffer, and what
backends hang on layers and parameters, be it tensors (scales, code tables) or plain values (group sizes, the type to
compute in, which of the backend's functions is called). Where a tensor lies in memory is not covered: copies that the
engine loads are all in fresh memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import xxhash

from aquatint.runtime.torch_engine.backend import is_owned


def fingerprint(torch: Any, module: Any) -> str:
    """Return the fingerprint of `module`, which is on the CPU, in hexadecimal digits."""
    total = xxhash.xxh3_128()
    for name, what in state(torch, module):
        total.update(f"{len(name)} {name} {len(what)} {what}\n".encode())
    return total.hexdigest()


def state(torch: Any, module: Any) -> Iterator[tuple[str, str]]:
    """Yield a name and a text for everything that the fingerprint of `module` is made of, in a fixed order."""
    # What any module has: hooks and flags, and the containers that are gone through one by one.
    usual = frozenset(vars(torch.nn.Module()))
    seen: set[int] = set()
    for path, layer in module.named_modules():
        yield path, f"{_name(type(layer))} {'training' if layer.training else 'evaluating'}"
        for name, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            yield from _tensor(torch, f"{path}.{name}", tensor, seen)
        if is_owned(type(layer)):
            yield from _attributes(torch, path, layer, usual, seen)


def _tensor(torch: Any, name: str, tensor: Any, seen: set[int]) -> Iterator[tuple[str, str]]:
    if torch.utils._python_dispatch.is_traceable_wrapper_subclass(tensor):
        inner, context = tensor.__tensor_flatten__()
        yield name, f"{_name(type(tensor))} {_plain(context)}"
        for attribute in inner:
            yield from _tensor(torch, f"{name}.{attribute}", getattr(tensor, attribute), seen)
        return
    # The stride of a side of length 1 leads nowhere.
    stride = tuple(step if side != 1 else 0 for side, step in zip(tensor.shape, tensor.stride(), strict=True))
    form = f"{tensor.dtype} {tuple(tensor.shape)} {stride}"
    yield name, f"{_name(type(tensor))} {form} {xxhash.xxh3_128_hexdigest(_bytes(torch, tensor))}"
    if is_owned(type(tensor)):
        yield from _attributes(torch, name, tensor, frozenset(), seen)


def _bytes(torch: Any, tensor: Any) -> Any:
    """Return the tensor's bytes in the order in which they lie, without copying where it has no holes."""
    flat = tensor.detach()
    if flat.dim():
        flat = flat.permute(sorted(range(flat.dim()), key=flat.stride, reverse=True))
    return flat.contiguous().reshape(-1).view(torch.uint8).numpy()


def _attributes(
    torch: Any, path: str, owner: Any, without: frozenset[str], seen: set[int]
) -> Iterator[tuple[str, str]]:
    seen.add(id(owner))
    for name, value in sorted(getattr(owner, "__dict__", {}).items()):
        # What is there twice is told once: bitsandbytes hangs a weight's state on the layer as well, but not always.
        if name in without or value is None or isinstance(value, torch.nn.Module) or id(value) in seen:
            continue
        inside = f"{path}:{name}"
        if isinstance(value, torch.Tensor):
            yield from _tensor(torch, inside, value, seen)
        elif is_owned(type(value)) and not isinstance(value, type):
            yield inside, _name(type(value))
            yield from _attributes(torch, inside, value, frozenset(), seen)
        else:
            yield inside, _plain(value)


def _plain(value: Any) -> str:
    """Return a text for a plain value; of others, which could say where they lie in memory, only what they are."""
    match value:
        case None | bool() | int() | float() | str():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_plain, value))}]"
        case dict():
            return f"{{{', '.join(f'{_plain(key)}: {_plain(value[key])}' for key in sorted(value, key=repr))}}}"
        case _ if type(value).__module__ == "torch":  # a dtype, a device
            return str(value)
        case _:
            return _name(value if hasattr(value, "__qualname__") else type(value))


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
