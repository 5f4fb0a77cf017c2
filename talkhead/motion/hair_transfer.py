"""The hair of a source's head that turns far: it goes with the head, not with the driver's hair.

Of keypoints beside the face, those at the sides and the top of the hair are carried over in the
picture like all others, which is right while a head is seen much as in its photo. In large turns
the driver's hair moves as its own shape and its anchor's pose have it: heads got a high forehead,
their hair came loose from them. There it rides on the head that is drawn, at a depth that hair has
on average, and what the driver's hair does within its own head's frame is taken over a little
[own experiments].
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from talkhead.motion.head_pose import HeadView, fit_view, led_by_turn
from talkhead.structs import Keypoints

# Keypoints at the left, the right and the top of the hair (where landmarks start them, see
# `training`), and how far behind the middle of the head they lie in space, in heights of the face:
# the least-squares depths of 128 clips, which leave 60 % of what they seem to move within heads.
HAIR = slice(17, 20)
DEPTH = (0.37, 0.37, 0.27)
# What is taken over at most within the head: of places, in heights of the face, and of jacobians.
MOST_MOVED, MOST_BENT = 0.05, 0.15


class HairTransfer:
    """Leads the hair of a source by its head, for one source and one anchor, batches of one.

    Keypoints whose head has no pose stay as they are.
    """

    def __init__(self, source: Keypoints, anchor: Keypoints) -> None:
        self._view = fit_view(source.value.float())[0]
        self._place, self._local = _within(source, self._view)
        self._anchor_place, self._anchor_local = _within(anchor)

    def __call__(self, moved: Keypoints, driving: Keypoints) -> Keypoints:
        """Keypoints of the source, moved as those of a driver's pictures, B of each."""
        view = fit_view(moved.value)[0]
        place, local = _within(driving)
        share = led_by_turn(view.rotation @ self._view.rotation.mT)[:, None, None]
        wanted = self._place + _limited(place - self._anchor_place, MOST_MOVED, 1)
        value = _led(moved.value, _depth(view) + wanted @ view.camera.mT, share)
        if moved.jacobian is None or local is None or self._local is None:
            return replace(moved, value=value)
        assert self._anchor_local is not None
        bent = local @ torch.linalg.inv_ex(self._anchor_local).inverse - torch.eye(2)
        wanted = self._local + _limited(bent, MOST_BENT, 2) @ self._local
        jacobian = _led(moved.jacobian, view.camera[:, None] @ wanted, share[..., None])
        return replace(moved, value=value, jacobian=jacobian)


def _within(keypoints: Keypoints, view: HeadView | None = None) -> tuple[Tensor, Tensor | None]:
    """Places (B, 3, 2) and jacobians (B, 3, 2, 2) of hair in the frame of its head."""
    value = keypoints.value.float()
    view = view or fit_view(value)[0]
    inverse = torch.linalg.inv_ex(view.camera).inverse
    place = (value[:, HAIR] - _depth(view)) @ inverse.mT
    if keypoints.jacobian is None:
        return place, None
    return place, inverse[:, None] @ keypoints.jacobian[:, HAIR].float()


def _depth(view: HeadView) -> Tensor:
    """Where the middle of the head is seen at the depths of its hair, (B, 3, 2)."""
    behind = view.rotation.new_tensor(DEPTH)[:, None] * view.rotation[:, None, :2, 2]
    return view.middle + view.size[:, None, None] * behind


def _limited(change: Tensor, most: float, dims: int) -> Tensor:
    """Vectors or matrices, the last `dims` dimensions, no longer than `most`."""
    length = change.flatten(-dims).norm(dim=-1).clamp(min=1e-9)
    return change * (most * torch.tanh(length / most) / length)[(..., *[None] * dims)]


def _led(whole: Tensor, wanted: Tensor, share: Tensor) -> Tensor:
    """Those of the hair a share of the way to what is wanted, where that is finite."""
    led = whole.clone()
    change = share * (wanted - whole[:, HAIR])
    led[:, HAIR] += torch.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0)
    return led
