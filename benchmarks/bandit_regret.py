"""What trying out costs and earns: cumulative regret of BanditReranker on simulated feedback of known truth.

    python benchmarks/bandit_regret.py [--seeds 20] [--rounds 150] [--figure bandit_regret.png]

A world has users and items with tastes, which the logs show, and items of different appeal, which the logs do not
show: ItemKNN learns the tastes, and the bandit on top has to find the appeal from clicks. In every round some users
come, get a list of five out of twenty candidates, and click each item with its true chance; clicks are fed back. The
regret of a round is what the best five candidates of these users would have got in expectation, minus what the lists
shown get. Printed: mean cumulative regret over the seeds (a new world each), with a 95 % t interval; drawn: the curves,
with the same bands. All parameters are the defaults of BanditReranker.
"""

import argparse

import numpy as np
import scipy.sparse as sp
from scipy.stats import t

from sklearn_llmrec.ensemble import BanditReranker
from sklearn_llmrec.neighbors import ItemKNN

POLICIES = {
    "uniform": {"policy": "epsilon_greedy", "epsilon": 1.0},
    "greedy": {"policy": "epsilon_greedy", "epsilon": 0.0},
    "epsilon-greedy": {"policy": "epsilon_greedy"},
    "UCB": {"policy": "ucb"},
    "Thompson": {"policy": "thompson"},
}
LIST, CANDIDATES, VISITORS = 5, 20, 50


class World:
    """Users, items, a log of tastes, and the true chance of a click of everyone on everything."""

    def __init__(self, seed, n_users=300, n_items=100, n_topics=5):
        rng = np.random.default_rng(seed)
        taste = rng.dirichlet(np.full(n_topics, 0.3), size=n_users)
        topic = rng.integers(n_topics, size=n_items)
        liked = taste[:, topic]
        self.log = sp.csr_array((rng.random(liked.shape) < 0.5 * liked).astype(float))
        appeal = rng.normal(size=n_items)
        self.chances = 1 / (1 + np.exp(-(2 * liked + 1.2 * appeal - 3)))


def cumulative_regret(world, params, rounds, seed):
    """Regret after every round."""
    rng = np.random.default_rng([seed, 1])
    model = BanditReranker(ItemKNN(), n_candidates=CANDIDATES, random_state=seed, **params)
    model.fit(world.log)
    pool, _ = model.estimator_.recommend(world.log, CANDIDATES)
    of_pool = np.where(pool < 0, 0, np.take_along_axis(world.chances, pool, axis=1))
    best = np.sort(of_pool, axis=1)[:, -LIST:].sum(axis=1)
    regret = np.zeros(rounds)
    for number in range(rounds):
        users = rng.choice(world.log.shape[0], VISITORS, replace=False)
        items, _ = model.recommend(world.log[users], LIST)
        chances = world.chances[users[:, None], items]
        regret[number] = best[users].sum() - chances.sum()
        shown = np.zeros((VISITORS, world.log.shape[1]))
        clicked = np.zeros_like(shown)
        rows = np.arange(VISITORS)[:, None]
        shown[rows, items] = 1
        clicked[rows, items] = rng.random(items.shape) < chances
        model.partial_fit(shown, clicked)
    return np.cumsum(regret)


def mean_and_band(curves):
    """Mean over seeds with its 95 % t interval."""
    mean = curves.mean(axis=0)
    half = t.ppf(0.975, len(curves) - 1) * curves.std(axis=0, ddof=1) / np.sqrt(len(curves))
    return mean, mean - half, mean + half


def draw(curves, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
    for ax, left_out in zip(panels, ("", "uniform")):
        for number, (name, all_curves) in enumerate(curves.items()):
            if name == left_out:
                continue
            mean, low, high = mean_and_band(all_curves)
            x, color = np.arange(1, len(mean) + 1), f"C{number}"
            ax.plot(x, mean, color=color, label=name)
            ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        ax.set_xlabel(f"round of {VISITORS} users")
        ax.set_ylabel("cumulative regret (clicks)")
        ax.margins(x=0)
        ax.set_ylim(bottom=0)
        ax.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    panels[1].set_title(f"without {left_out}", fontsize="small", loc="left")
    panels[0].set_title(
        "bands: 95 % intervals of the mean over seeds", fontsize="small", loc="left"
    )
    figure.savefig(path, dpi=120)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--figure", help="where to draw the curves")
    args = parser.parse_args()
    worlds = [World(seed) for seed in range(args.seeds)]
    curves = {}
    for name, params in POLICIES.items():
        curves[name] = np.array(
            [cumulative_regret(w, params, args.rounds, seed) for seed, w in enumerate(worlds)]
        )
        mean, low, high = (part[-1] for part in mean_and_band(curves[name]))
        last = np.diff(curves[name][:, -11:], axis=1).mean()
        print(
            f"{name:15s} regret {mean:7.1f} [{low:7.1f}, {high:7.1f}]   a round at the end {last:6.2f}",
            flush=True,
        )
    if args.figure:
        draw(curves, args.figure)


if __name__ == "__main__":
    main()
