"""`talkhead synth`."""

from __future__ import annotations

from dataclasses import replace

from talkhead.cli.from_options import with_options
from talkhead.cli.options import ConsoleOptions
from talkhead.printable import counted
from talkhead.synthetic.options import SynthOptions


@with_options()
def synth(options: SynthOptions, console: ConsoleOptions) -> None:
    """Render clips of synthetic talking heads, in the layout that `train` reads."""
    with console.running() as progress:
        from talkhead.synthetic.synth import synth as render

        paths = render(replace(options, overwrite=console.overwrite), progress=progress)
        if options.landmarks:
            from talkhead.data.landmarking import landmarks_beside, make_landmarks

            make_landmarks(paths, landmarks_beside(options.output), progress=progress)
        words = (
            f"{options.output}: {counted(len(paths), 'clip')} of "
            f"{counted(options.identities, 'identity', 'identities')}"
        )
        console.show({"clips": [str(path) for path in paths]}, words)
