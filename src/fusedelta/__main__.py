"""``python -m fusedelta``."""

import sys

from fusedelta.cli import main

if __name__ == "__main__":
    sys.exit(main())
