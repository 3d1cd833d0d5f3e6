"""A permissive stand-in: any attribute is a Stub, to subclass, call, decorate with or import."""

import importlib.abc
import importlib.machinery
import sys
import types


class _Meta(type):
    def __getattr__(cls, n):
        if n.startswith("__"):
            raise AttributeError(n)
        return cls


class Stub(metaclass=_Meta):
    def __init__(self, *a, **k):
        pass

    def __getattr__(self, n):
        if n.startswith("__"):
            raise AttributeError(n)
        return Stub

    def __call__(self, *a, **k):
        raise RuntimeError("stubbed package was called: not available on this CPU host")

    def __mro_entries__(self, bases):
        return (object,)


class _Loader(importlib.abc.Loader):
    def create_module(self, spec):
        m = types.ModuleType(spec.name)
        m.__path__ = []
        m.__stub__ = True
        return m

    def exec_module(self, module):
        def ga(n):
            if n.startswith("__"):
                raise AttributeError(n)
            return Stub

        module.__getattr__ = ga


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, root):
        self.root = root

    def find_spec(self, name, path=None, target=None):
        if name.startswith(self.root + "."):
            return importlib.machinery.ModuleSpec(name, _Loader(), is_package=True)
        return None


def stub_package(name):
    sys.meta_path.append(_Finder(name))

    def ga(n):
        if n.startswith("__"):
            raise AttributeError(n)
        return Stub

    sys.modules[name].__getattr__ = ga
    sys.modules[name].__stub__ = True
