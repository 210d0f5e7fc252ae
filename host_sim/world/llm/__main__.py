"""``python -m host_sim.world.llm``."""

import sys

from host_sim.world.llm.command import main

sys.exit(main())
