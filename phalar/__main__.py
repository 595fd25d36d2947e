"""``python -m phalar``: the command line, and what ``torchrun -m phalar`` starts."""

import sys

from phalar.cli import main

if __name__ == "__main__":
    sys.exit(main())
