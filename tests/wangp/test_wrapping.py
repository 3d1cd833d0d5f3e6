"""The one wrapping idiom: what WanGP sees of it, and that it can be attached twice."""

from __future__ import annotations

import functools
import inspect
import subprocess
import sys

import pytest

from wan2gp_svi.wangp.wrapping import arguments, wrap


def louder(original, *args, **kwargs):
    return original(*args, **kwargs).upper()


def longer(extra, original, *args, **kwargs):
    return original(*args, **kwargs) + extra


def greet(name: str, *, mark: str = "!") -> str:
    """Say hello."""
    return f"hello {name}{mark}"


def test_a_function_of_a_module_keeps_its_name_and_signature():
    module = {"greet": greet}
    assert wrap(module, "greet", louder)
    assert module["greet"]("you", mark="?") == "HELLO YOU?"
    assert module["greet"].__name__ == "greet"
    assert module["greet"].__doc__ == "Say hello."
    assert inspect.signature(module["greet"]) == inspect.signature(greet)


def test_attached_again_it_acts_once():
    module = {"greet": greet}
    for _ in range(3):
        assert wrap(module, "greet", functools.partial(longer, "."))
        assert wrap(module, "greet", louder)
    assert module["greet"]("you") == "HELLO YOU!."


def test_methods_stay_what_they_are():
    class Host:
        def plain(self, text):
            return text

        @staticmethod
        def static(text):
            return text

    for name in ("plain", "static"):
        assert wrap(Host, name, louder)
    assert Host().plain("a") == "A"
    assert Host.static("a") == Host().static("a") == "A"


def test_an_inherited_method_is_wrapped_where_it_was_asked_for():
    class Base:
        def say(self):
            return "a"

    class Host(Base):
        pass

    assert wrap(Host, "say", louder)
    assert (Host().say(), Base().say()) == ("A", "a")


@pytest.mark.parametrize("owner", [{}, {"greet": 3}, type("Host", (), {})])
def test_what_is_not_there_is_told_and_nothing_changes(owner):
    before = dict(owner) if isinstance(owner, dict) else dict(vars(owner))
    assert not wrap(owner, "greet", louder)
    assert (dict(owner) if isinstance(owner, dict) else dict(vars(owner))) == before


def test_arguments_have_the_names_of_the_parameters_also_when_wrapped():
    module = {"greet": greet}
    wrap(module, "greet", louder)
    assert arguments(module["greet"], ("you",), {"mark": "?"}) == {"name": "you", "mark": "?"}


@pytest.mark.parametrize("name", ["wangp", "wangp.names", "wangp.settings", "profiles.commands"])
def test_names_can_be_had_without_torch(name):
    code = f"import sys; import wan2gp_svi.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
