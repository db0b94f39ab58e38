"""Puts a mistake into a module while it is imported. Nothing on disk is changed.

Call `plant` before the module is imported by anybody in this process.
"""

import resource
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

from tests.mutation.mistake import Mistake

MEMORY_BYTES = 768 << 20
"""Some mistakes go in circles and gather what they do."""


class AlreadyImportedError(RuntimeError):
    """The module is in use without the mistake."""


def mutated(source: str, mistake: Mistake) -> str:
    """The source with the mistake in it.

    Raises:
        ValueError: the piece that it replaces does not occur exactly once.
    """
    count = source.count(mistake.right)
    if count != 1:
        raise ValueError(f"{mistake.name}: what it replaces occurs {count} times in {mistake.module}")
    return source.replace(mistake.right, mistake.wrong)


class _Loader(SourceFileLoader):
    """Compiles the mutated source; never reads or writes cached bytecode."""

    def __init__(self, fullname: str, path: str, mistake: Mistake) -> None:
        super().__init__(fullname, path)
        self._mistake = mistake

    def get_code(self, fullname: str) -> CodeType:
        return compile(mutated(self.get_source(fullname) or "", self._mistake), self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, mistake: Mistake) -> None:
        self._mistake = mistake

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._mistake.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self._mistake)
        return spec


def plant(mistake: Mistake) -> None:
    """Let this process import the mistake; planting it again is harmless. It gets no more memory than tests need.

    Raises:
        AlreadyImportedError: too late.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if mistake.module in sys.modules:
        raise AlreadyImportedError(f"{mistake.module} was imported before {mistake.name} was planted")
    sys.meta_path.insert(0, _Finder(mistake))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
