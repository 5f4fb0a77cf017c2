"""`python -m talkhead`, and what the `talkhead` command starts."""

from __future__ import annotations

import sys

from talkhead.interrupts import EndInOrder


def main() -> None:
    """Entry point of the `talkhead` command: signals are handled from the first moment on."""
    EndInOrder().install()
    try:
        from talkhead.cli import main as run

        run()
    except KeyboardInterrupt as error:  # outside of a command, which says so itself
        sys.exit(128 + getattr(error, "number", 2))


if __name__ == "__main__":
    main()
