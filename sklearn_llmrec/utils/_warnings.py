"""Warn with the line of the caller."""

import sys
import warnings

# Frames of these packages are between the caller's line and the warning: fit is wrapped by scikit-learn, and a search
# calls it from a joblib task.
_PASSED_OVER = ("sklearn_llmrec", "sklearn", "joblib", "contextlib")


def caller_level() -> int:
    """Return the `stacklevel` of the nearest frame outside this package, scikit-learn and joblib.

    Returns
    -------
    level : int
        For a call of `warnings.warn` in the function that calls this one. Without such a frame (a task of another
        thread) it is that of the outermost frame.
    """
    level, frame = 0, sys._getframe(1)
    while frame.f_back is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _PASSED_OVER:
            break
        level, frame = level + 1, frame.f_back
    return level + 1


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn with the file and line of the caller's code outside this package.

    Every warning of the package is given by this function, so that the line that is shown, and by which Python counts a
    warning as given before, is the user's.

    Parameters
    ----------
    message : str
        The cause and the remedy.
    category : type, default=UserWarning
        The class of the warning.
    """
    warnings.warn(message, category, stacklevel=caller_level())
