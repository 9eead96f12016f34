"""The command line: ``python -m sklearn_llmrec`` is ``sklearn-llmrec``."""

import sys

from sklearn_llmrec.serving import main

if __name__ == "__main__":
    sys.exit(main())
