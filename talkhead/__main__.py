"""`python -m talkhead`."""

from talkhead.cli import main

main()
