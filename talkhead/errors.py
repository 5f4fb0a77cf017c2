"""The errors that talkhead raises on purpose, and the one that it explains: no memory left."""


class TalkheadError(Exception):
    """Something that a person can act on. The message is the sentence they read.

    It says what could not be done, where (file, frame, option) and what to do next. The command
    line prints it and exits with 1; a traceback is shown only with `--debug`.
    """


class Stopped(TalkheadError):
    """Raised by a progress callback to end a render early.

    What was drawn until then becomes the output; with nothing drawn there is none.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, the machine's or a GPU's."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"  # torch's, which need not be imported here
        or "DefaultCPUAllocator" in str(error)
    )
