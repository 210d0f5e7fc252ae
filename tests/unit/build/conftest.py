"""`build/` is a folder of scripts: put it where its modules find each other."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3] / "build"))
