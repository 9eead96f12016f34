"""Import optional packages where they are used; a missing one is reported with its extra."""

from importlib import import_module
from types import ModuleType


def require(module: str, extra: str | None) -> ModuleType:
    """Import an optional module, or raise an error that names the extra to install.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    extra : str or None
        The extra of this package that installs it; None for a table library, which is the user's choice.

    Returns
    -------
    module : module

    Raises
    ------
    ImportError
        If the top-level package of `module` is not installed. Any other failure of the import (a broken
        installation, a missing dependency of the package) passes through unchanged.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name != package:
            raise
        what = package if extra is None else f"'sklearn-llmrec[{extra}]'"
        raise ImportError(
            f"{package} is needed here and is not installed: pip install {what}"
        ) from error
