"""The one door through which optional dependencies come in."""

import importlib
import importlib.util
from typing import Any


class MissingDependencyError(ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


def require(module: str, *, extra: str, why: str) -> Any:
    """Import an optional package, or say who needs it and how to get it.

    A package that is installed but broken raises its own error: it is not reported as missing.

    Args:
        module: Name to import, such as ``"vllm"``.
        extra: The extra of genrec that brings it, such as ``"vllm"``.
        why: What needs it, such as ``"VLLMRecommender"``.

    Raises:
        MissingDependencyError: When the package is not installed.
    """
    if not is_installed(module):
        package = module.partition(".")[0]
        raise MissingDependencyError(f"{why} needs {package}: pip install 'genrec[{extra}]'")
    return importlib.import_module(module)


def is_installed(module: str) -> bool:
    """Tell whether a package can be found, without importing it."""
    return importlib.util.find_spec(module.partition(".")[0]) is not None
