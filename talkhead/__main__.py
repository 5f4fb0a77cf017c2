"""`python -m talkhead`, and what the `talkhead` command starts."""

from __future__ import annotations

from talkhead.interrupts import ending_in_order


def main() -> None:
    """Entry point of the `talkhead` command: signals are handled from the first moment on."""
    with ending_in_order():
        from talkhead.cli import main as run

        run()


if __name__ == "__main__":
    main()
