"""Order the examples of the gallery from first steps to operation."""

ORDER = [
    "first_recommender",
    "own_log",
    "tuning",
    "compare_models",
    "intervals",
    "model_choice",
    "time_split",
    "new_users",
    "ratings",
    "cold_items",
    "text_search",
    "sequences",
    "knowledge_graph",
    "vote",
    "diversity",
    "calibration",
    "explanations",
    "exposure",
    "user_activity",
    "trend",
    "updates",
    "save_small",
    "index",
    "privacy",
    "bandit",
]


class InOrder:
    """Sort key of a file of the gallery: its place in `ORDER`, or the end.

    Parameters
    ----------
    folder : str
        The folder of the examples, which Sphinx-Gallery passes.
    """

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name):
        """Return the key of a file name."""
        stem = name.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(stem) if stem in ORDER else len(ORDER), name)
