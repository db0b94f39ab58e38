"""A package's door whose names are loaded when they are asked for: who needs one module of a room need not load them all."""

from collections.abc import Callable, Mapping
from importlib import import_module


def door(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """The `__getattr__` of a package (PEP 562).

    Args:
        package: its name.
        places: public name → the module in it that has it.
    """

    def load(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{places[name]}"), name)

    return load
