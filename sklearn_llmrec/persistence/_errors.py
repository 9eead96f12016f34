"""Define the error of a bundle that cannot be written or must not be read."""


class BundleError(ValueError):
    """Error of a bundle that is refused, with the wrong file and the remedy.

    `load` raises it before anything that the bundle contains is executed; `save` raises it where a model cannot be
    stored. The bundle on disk and the model in memory stay as they were.

    Parameters
    ----------
    message : str
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
