"""The one error that talkhead raises on purpose."""


class TalkheadError(Exception):
    """Something that a person can act on. The message is the sentence they read.

    It says what could not be done, where (file, frame, option) and what to do next. The command
    line prints it and exits with 1; a traceback is shown only with `--debug`.
    """
