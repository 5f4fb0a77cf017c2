"""What tests of damaged and harmful files share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from talkhead.checkpoint import Provenance
from talkhead.errors import TalkheadError

ORIGIN = Provenance("made by a test", "MIT")
DEEP = "[" * 100_000 + "]" * 100_000
ADVICE = ("weights_only", "allow_pickle", "safe_globals")


def sentence(read: Callable[[], object]) -> str:
    """What is said of a file; it is one line that a terminal can show, and gives no bad advice."""
    with pytest.raises(TalkheadError) as caught:
        read()
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 800
    assert not any(word in text for word in ADVICE)
    return text
