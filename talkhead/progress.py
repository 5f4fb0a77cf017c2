"""How long work reports its progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Progress = Callable[[str, int, int | None], None]  # stage, items done, items expected (or None)
Preparing = Callable[[], AbstractContextManager[Progress | None]]  # shows progress while entered


@contextmanager
def progress_callback(progress: Progress | bool | None) -> Iterator[Progress | None]:
    """The callback for what a caller asked for.

    A callback of their own, or True for a bar in a notebook or terminal (tqdm); False and None for
    none.
    """
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield None
    else:
        from tqdm.auto import tqdm

        with tqdm(unit="") as bar:

            def update(stage: str, done: int, total: int | None) -> None:
                if stage != bar.desc.removesuffix(": ") or done < bar.n:
                    bar.reset(total)
                    bar.set_description(stage)
                bar.total = total
                bar.update(done - bar.n)

            yield update
