"""Threads that run ahead and behind: order, errors, giving up half way."""

import threading
import time
from collections.abc import Iterator

import pytest

from talkhead.animation.threads import BackgroundWriter, Prefetcher


def test_items_arrive_in_order() -> None:
    with Prefetcher(range(100), depth=3) as items:
        assert list(items) == list(range(100))


def test_reader_runs_at_most_the_depth_ahead() -> None:
    made: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    with Prefetcher(numbers(), depth=2) as items:
        assert next(iter(items)) == 0
        time.sleep(0.05)
        assert len(made) <= 5  # one taken, two queued, one waiting to be queued


def test_error_of_the_reader_comes_after_its_items() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    seen: list[int] = []
    with pytest.raises(ValueError, match="damaged"), Prefetcher(numbers(), depth=2) as items:
        seen.extend(items)
    assert seen == [1]


def test_leaving_half_way_stops_the_thread() -> None:
    before = threading.active_count()
    with Prefetcher(iter(int, 1), depth=2) as items:  # endless
        next(iter(items))
    assert threading.active_count() == before


def test_everything_handed_over_is_consumed() -> None:
    seen: list[int] = []
    with BackgroundWriter(seen.append, depth=2) as behind:
        for number in range(20):
            behind.put(number)
    assert seen == list(range(20))


def test_error_of_the_consumer_is_raised() -> None:
    def fail(item: int) -> None:
        raise OSError("disk full")

    def hand_over() -> None:
        with BackgroundWriter(fail, depth=1) as behind:
            for number in range(5):
                behind.put(number)

    with pytest.raises(OSError, match="disk full"):
        hand_over()


def test_what_waits_is_dropped_when_an_error_passes_through() -> None:
    seen: list[int] = []

    def slow(item: int) -> None:
        while not behind._drop:  # as long as the error has not come through
            time.sleep(0.001)
        seen.append(item)

    behind = BackgroundWriter(slow, depth=10)

    def hand_over() -> None:
        with behind:
            for number in range(10):
                behind.put(number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hand_over()
    assert len(seen) <= 1
