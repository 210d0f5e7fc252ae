"""`python -m host_sim.world.limiter LIMITS_FILE`."""

import sys

from .cli import main

sys.exit(main(sys.argv[1:]))
