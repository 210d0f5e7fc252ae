"""Run a program that gets SIGTERM when the process that started it dies: `python die_with_parent.py PID PROGRAM ...`.

Linux only (prctl(2), PR_SET_PDEATHSIG). A program of its own because the setting must be made after the fork and
before the exec: doing that between the two, in a process whose gRPC threads are running, is not safe. Standard library
only, so that it starts in a few milliseconds with `-I -S`.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, program = int(arguments[0]), arguments[1]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the process that wanted this one has ended")
    os.execv(program, arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
