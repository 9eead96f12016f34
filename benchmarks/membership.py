"""Print what an audit proves about exact and private EASE: lower bounds of epsilon at 99 % confidence.

python benchmarks/membership.py
"""

import argparse

import numpy as np

from sklearn_llmrec import EASE
from sklearn_llmrec.datasets import make_interactions
from sklearn_llmrec.inspection import membership_audit
from sklearn_llmrec.privacy import GaussianMechanism


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", type=int, default=1000, help="shadow fits of each kind")
    args = parser.parse_args()
    X = make_interactions(200, 40, random_state=0).interactions
    popular = np.zeros(40)
    popular[np.argsort(-np.bincount(X.indices, minlength=40))[:2]] = 1
    print("| budget | canary | bound of epsilon | true positives | false positives |")
    print("|---|---|---|---|---|")
    for epsilon in (None, 10.0, 5.0, 1.0):
        privacy = None if epsilon is None else GaussianMechanism(epsilon, 1e-5)
        for name, canary in (("two rare items", None), ("two popular items", popular)):
            # All rows in every fit: the noise alone hides the canary, which is the strongest test.
            audit = membership_audit(
                EASE(privacy=privacy),
                X,
                canary=canary,
                n_fits=args.fits,
                max_samples=1.0 if privacy else 0.5,
                random_state=0,
            )
            print(
                f"| {'none' if epsilon is None else f'{epsilon:g}'} | {name} | {audit.epsilon:.2f} | "
                f"{audit.true_positive_rate:.3f} | {audit.false_positive_rate:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
