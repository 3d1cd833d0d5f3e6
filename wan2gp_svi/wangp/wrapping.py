"""The one way in which the bridge gets between WanGP and its own functions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

_AROUND = "_wan2gp_svi_around"


def wrap(owner: dict[str, Any] | type, name: str, around: Callable[..., Any]) -> bool:
    """Let `around(original, *args, **kwargs)` answer for the function `name` of `owner`.

    `owner` is a module's globals, where functions are looked up when they are called, or a class;
    a static method stays one. What is called keeps the original's name and signature. Attached
    again, it is not put there twice. Returns whether `owner` has such a function; where it has
    none, nothing is changed.
    """
    found: Any = (
        owner.get(name) if isinstance(owner, dict) else inspect.getattr_static(owner, name, None)
    )
    is_static = isinstance(found, staticmethod)
    original = found.__func__ if is_static else found
    if not callable(original):
        return False
    key = _key(around)
    if key in (getattr(layer, _AROUND, None) for layer in _layers(original)):
        return True

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        return around(original, *args, **kwargs)

    setattr(call, _AROUND, key)
    if isinstance(owner, dict):
        owner[name] = call
    else:
        setattr(owner, name, staticmethod(call) if is_static else call)
    return True


def is_wrapped(function: Any) -> bool:
    """Whether the bridge stands around a function."""
    return any(hasattr(layer, _AROUND) for layer in _layers(function))


def arguments(original: Callable[..., Any], args: Sequence, kwargs: Mapping) -> dict[str, Any]:
    """What a call of `original` gives, by the names of its parameters."""
    return inspect.signature(original).bind(*args, **kwargs).arguments


def _key(around: Callable[..., Any]) -> str:
    """A name for what is put around: the same when its module is imported anew."""
    function = around.func if isinstance(around, functools.partial) else around
    return f"{function.__module__}.{function.__qualname__}"


def _layers(function: Any) -> Iterator[Any]:
    """A function, and what it is wrapped around, from the outside in."""
    while function is not None:
        yield function
        function = getattr(function, "__wrapped__", None)
