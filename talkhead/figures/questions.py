"""The questions that `talkhead inspect` answers, each with one figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from talkhead.animation.driving import batches
from talkhead.data.landmarks import opening
from talkhead.errors import TalkheadError
from talkhead.figures.activations import Activations, CodeUse
from talkhead.figures.color_scales import ColorScales, change, displace, movement
from talkhead.figures.colour import code_colours, flow_colours, greys, shares, signed, wheel
from talkhead.figures.overlays import bars, bend, bent_grid, mark_keypoints, mark_mesh, mark_moves
from talkhead.figures.sheet import GAP, SIDE, Figure, Panel, enlarge

Question = Callable[[Activations, ColorScales], Figure | None]

LARGE, SMALL = 288, 96  # pixels of panels with many marks, of panels that come by the dozen
PER_ROW = 12  # small panels
DETAIL_FULL = 32  # levels of 255


def draw_keypoints(activations: Activations, scales: ColorScales) -> Figure:
    """Keypoints on both pictures and on the result, and how they moved."""
    source, driving, result = activations.source, activations.driving, activations.result
    group = group_size(activations)
    marked = [
        mark_keypoints(enlarge(each.picture, LARGE, smooth=True), each.keypoints, group)
        for each in (source, driving, result)
    ]
    moves = mark_moves(
        enlarge(source.picture, LARGE, smooth=True), source.keypoints, result.keypoints, group
    )
    labels = ("source", "driving frame", "result, keypoints as drawn")
    arms = "arms show local tilt; " if source.keypoints.jacobian is not None else ""
    joined = "points of one spline share a colour; " if group > 1 else ""
    panels = [Panel(picture, label) for picture, label in zip(marked, labels, strict=True)]
    return Figure(
        "Keypoints",
        f"{len(source.keypoints.value[0])} keypoints; {arms}{joined}arrows: from the "
        "source's place to the place drawn",
        [[*panels, Panel(moves, "from source to result")]],
    )


def draw_mesh(activations: Activations, scales: ColorScales) -> Figure:
    """What the face mesh sees in both pictures and in the result."""
    shown = (activations.source, activations.driving, activations.result)
    panels = []
    for name, each in zip(("source", "driving frame", "result"), shown, strict=True):
        picture = enlarge(each.picture, LARGE, smooth=True)
        if not np.isfinite(each.mesh).all():
            panels.append(Panel(picture, f"{name}: no face seen"))
            continue
        scale = LARGE / each.picture.shape[0]
        opens = {part: float(opening(each.mesh, part)) for part in ("mouth_opening", "eye_opening")}
        label = "{}: mouth {mouth_opening:.2f}, eyes {eye_opening:.2f}".format(name, **opens)
        panels.append(Panel(mark_mesh(picture, each.mesh * scale), label))
    return Figure(
        "Face mesh",
        "478 points; how far mouth and eyes are open, over their widths",
        [panels],
    )


def draw_deformation(activations: Activations, scales: ColorScales) -> Figure:
    """The dense motion, before and after compensation, as colour, grid and picture."""
    names = {"": activations.inside.motion}
    if activations.inside.flows:
        names = {"initial": activations.deformation, "compensated": activations.inside.motion}
    source, full = enlarge(activations.source.picture), scales.movement
    rows = [
        [
            flow_panel(displace(motion), full, activations, f"{name} as colour".strip()),
            Panel(bent_grid(motion, SIDE), f"{name} as a grid".strip()),
            Panel(bend(source, motion), f"source, {name or 'warped'}"),
        ]
        for name, motion in names.items()
    ]
    result = enlarge(activations.result.picture)
    rows[-1] += [Panel(result, "result"), wheel_panel(scales.movement)]
    return Figure(
        "Deformation",
        "colour: which way the picture moves and how far, see the wheel",
        rows,
    )


def draw_candidates(activations: Activations, scales: ColorScales) -> Figure:
    """Every motion that was blended, and where it counted."""
    splines = activations.source.keypoints.jacobian is None
    name = "spline" if splines else "kp"
    source, panels = enlarge(activations.source.picture, SMALL), []
    for number, (motion, weights) in enumerate(
        zip(activations.candidates, activations.contributions, strict=True)
    ):
        views = [bend(source, motion), bent_grid(motion, SMALL), enlarge(shares(weights), SMALL)]
        who = f"{name} {number - 1}" if number else "still"
        if not splines and number > activations.source.keypoints.value.shape[1]:
            who = "mesh"
        panels.append(Panel(np.concatenate(views), f"{who}: {weights.mean():.0%}"))
    title = "Thin-plate transformations" if splines else "Candidate motions"
    return Figure(
        f"{title} and their contribution maps",
        "each: the source under it, its grid, and its share of the deformation from 0 (violet) to "
        "1 (yellow), with the mean",
        list(batches(panels, math.ceil(len(panels) / math.ceil(len(panels) / PER_ROW)))),
    )


def draw_flow(activations: Activations, scales: ColorScales) -> Figure | None:
    """What motion compensation adds at each scale, and what it leads to."""
    steps = activations.inside.flows
    if not steps:
        return None
    residuals = flow_row(activations, "residual", scales.residual, "residual at")
    flows = flow_row(activations, "after", scales.movement, "flow after")
    initial = flow_panel(steps[0].before, scales.movement, activations, "initial flow")
    return Figure(
        "Residual and compensated flow of every scale",
        "each scale adds its residual to the flow before it; the two rows have scales of their own",
        [
            [blank(), *residuals, wheel_panel(scales.residual)],
            [initial, *flows, wheel_panel(scales.movement)],
        ],
    )


def draw_quantized(activations: Activations, scales: ColorScales) -> Figure | None:
    """The flow that enters each scale, and what its codes alone make of it."""
    if not activations.inside.flows:
        return None
    entered = flow_row(activations, "before", scales.movement, "flow that enters")
    decoded = flow_row(activations, "decoded", scales.movement, "from its codes,")
    return Figure(
        "Motion flow from its quantised codes",
        "above the flow that enters a scale, below what the nearest motion codes alone give back",
        [[*entered, wheel_panel(scales.movement)], decoded],
    )


def draw_occlusion(activations: Activations, scales: ColorScales) -> Figure:
    """What is kept of the warped features."""
    panels = [
        Panel(enlarge(greys(values)), f"{name}: mean {values.mean():.2f}")
        for name, values in activations.inside.occlusions.items()
    ]
    return Figure("Occlusion", "white is kept, black is to be painted anew", [panels])


def draw_features(activations: Activations, scales: ColorScales) -> Figure:
    """Features as they are warped and as they are after compensation."""
    steps = activations.inside.features
    before, after, changes = [], [], []
    for step in steps:
        basis = scales.bases[step.size]
        before.append(Panel(enlarge(basis(step.warped)), f"warped, {step.size} px"))
        if step.compensated is None:
            after.append(blank("not compensated"))
            changes.append(blank())
            continue
        after.append(Panel(enlarge(basis(step.compensated)), f"compensated, {step.size} px"))
        amount = change(step.warped, step.compensated)
        picture = enlarge(shares(amount, scales.changes[step.size]))
        changes.append(Panel(picture, f"change: mean {amount.mean():.2g}"))
    note = "colour: the three directions in which the features of a scale vary most"
    if not scales.changes:
        return Figure("Warped features", note, [before])
    return Figure("Warped against compensated features", note, [before, after, changes])


def draw_codes(activations: Activations, scales: ColorScales) -> Figure | None:
    """Which codes each scale uses, where and how often."""
    uses = activations.inside.codes
    if not uses:
        return None
    totals = {use.kind: max(each.allocated for each in uses) for use in uses}
    rows = [
        [code_panel(use, totals[kind]) for use in uses if use.kind == kind]
        for kind in dict.fromkeys(use.kind for use in uses)
    ]
    return Figure(
        "Code use",
        "the code nearest to each token: where, how often, and which most; motion: of the flow "
        "that enters, appearance: of the driving frame",
        rows,
    )


def code_panel(use: CodeUse, total: int) -> Panel:
    """Where which code was chosen, and how often each of `total` was."""
    counts = use.counts
    tokens = enlarge(code_colours(use.indices), SMALL)
    gap = np.full((SMALL, GAP // 2, 3), 255, np.uint8)
    chart = bars(counts, total, LARGE - SMALL - GAP // 2, SMALL)
    used, top = int((counts > 0).sum()), int(counts.argmax())
    share = counts[top] / counts.sum()
    label = f"{use.kind} {use.size} px: {used} of {use.allocated}, no. {top} at {share:.0%}"
    return Panel(np.concatenate([tokens, gap, chart], axis=1), label)


def draw_memory(activations: Activations, scales: ColorScales) -> Figure | None:
    """The memory's channels, and what the identity makes of them at each scale."""
    memory = activations.inside.memory
    if memory is None:
        return None
    before, after = scales.memory
    rows = [channel_row(memory.bank, scales, before, "bank")]
    rows += [
        channel_row(values, scales, after, f"{size} px")
        for size, values in memory.conditioned.items()
    ]
    return Figure(
        "Memory channels before and after conditioning",
        f"blue negative, red positive (full colour {before:.2g} before, {after:.2g} after); the "
        f"{len(scales.channels)} of {len(memory.bank)} channels that change most",
        rows,
    )


def channel_row(values: np.ndarray, scales: ColorScales, full: float, name: str) -> list[Panel]:
    """A panel for each of the channels with the widest range, in colours from -full to full."""
    return [
        Panel(enlarge(signed(values[channel], full), SMALL), f"{name}, {channel}")
        for channel in scales.channels
    ]


def flow_panel(flow: np.ndarray, full: float, activations: Activations, label: str) -> Panel:
    """A flow as colours; `full` pixels of movement have the strongest."""
    moved = movement(flow, activations.source.picture.shape[0])
    return Panel(enlarge(flow_colours(moved, full)), label)


def flow_row(activations: Activations, part: str, full: float, words: str) -> list[Panel]:
    """A part of the steps of motion compensation, at every scale."""
    return [
        flow_panel(getattr(step, part), full, activations, f"{words} {step.size} px")
        for step in activations.inside.flows
    ]


def wheel_panel(full: float) -> Panel:
    """The legend of `flow_panel`."""
    return Panel(wheel(SIDE), f"rim: {full:g} px or more", framed=False)


def blank(label: str = "") -> Panel:
    """A white panel."""
    return Panel(np.full((SIDE, SIDE, 3), 255, np.uint8), label, framed=False)


def group_size(activations: Activations) -> int:
    """Keypoints per candidate motion."""
    candidates = len(activations.candidates) - 1  # of single keypoints, perhaps a mesh's besides
    return max(1, activations.source.keypoints.value.shape[1] // candidates)


def draw_detail(activations: Activations, scales: ColorScales) -> Figure | None:
    """What the source's detail adds to the model's picture, at the size of the result."""
    large = activations.large
    if large is None:
        return None
    size, own = large.shape[0], activations.result.picture.shape[0]
    side = max(size, LARGE)
    plain, large = (enlarge(p, side, smooth=True) for p in (activations.result.picture, large))
    added = np.abs(large.astype(np.float32) - plain).mean(axis=2) / 255
    note = f"white: a difference of {DETAIL_FULL} levels or more"
    panels = [
        Panel(plain, f"the model's picture of {own} px, enlarged"),
        Panel(large, f"with the source's detail, {size} px"),
        Panel(greys(np.clip(added * 255 / DETAIL_FULL, 0, 1)), "what was added"),
    ]
    return Figure("Detail of the source", note, [panels])


QUESTIONS: dict[str, Question] = {
    "keypoints": draw_keypoints,
    "mesh": draw_mesh,
    "deformation": draw_deformation,
    "candidates": draw_candidates,
    "flow": draw_flow,
    "quantized": draw_quantized,
    "occlusion": draw_occlusion,
    "features": draw_features,
    "codes": draw_codes,
    "memory": draw_memory,
    "detail": draw_detail,
}


def answer(
    activations: Activations, scales: ColorScales, only: Sequence[str] = ()
) -> dict[str, Figure]:
    """Figures by question: those asked for, or all that the model has an answer to.

    Raises TalkheadError for a question that means nothing to this model.
    """
    drawn = {name: QUESTIONS[name](activations, scales) for name in only or QUESTIONS}
    figures = {name: figure for name, figure in drawn.items() if figure is not None}
    missing = [name for name in only if name not in figures]
    if missing:
        known = ", ".join(answer(activations, scales))
        raise TalkheadError(f"this model has no {missing[0]} to show; it has {known}")
    return figures
