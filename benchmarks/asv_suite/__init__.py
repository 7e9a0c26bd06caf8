"""The lists of the race and of the kernels for asv: ``asv run --config benchmarks/asv.conf.json``.

A folder of its own, because asv imports all modules beside its benchmarks, and the rivals need
packages that its environments do not have.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
