"""`python -m taskd`: the full program."""

import sys

from taskd.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
