"""Which point of the face mesh is what: the one place for its indices.

The numbering is that of MediaPipe's face mesh: 468 points of the skin, then five of each iris.
"Left" is left in the picture of a face that looks at the camera (the person's right).
"""

from __future__ import annotations

SKIN_POINTS = 468
MESH_POINTS = 478  # with the irises

FOREHEAD, CHIN = 10, 152  # top and bottom of the outline
NOSE_TIP = 1
LEFT_EAR, RIGHT_EAR = 234, 454  # the ends of the jaw line
LEFT_JAW, RIGHT_JAW = 172, 397
LEFT_BROW, RIGHT_BROW = 105, 334
LEFT_EYE_CORNERS, RIGHT_EYE_CORNERS = (33, 133), (362, 263)  # left one first
OUTER_EYE_CORNERS = (33, 263)
UPPER_LIDS, LOWER_LIDS = (159, 386), (145, 374)  # of the left and the right eye
MOUTH_CORNERS = (61, 291)
UPPER_LIP, LOWER_LIP = 13, 14  # inner borders
LIPS_TOP, LIPS_BOTTOM = 0, 17  # outer borders
LEFT_IRIS, RIGHT_IRIS = 468, 473  # centres; points of the rim follow each
IRISES = ((LEFT_IRIS, *LEFT_EYE_CORNERS), (RIGHT_IRIS, *RIGHT_EYE_CORNERS))  # left corner first
IRIS_RIM = 4  # how many

# Closed rings.
LEFT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
RIGHT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
OUTER_LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375),
    *(291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
)
AROUND_LIPS = (  # the ring of skin next to them
    *(57, 43, 106, 182, 83, 18, 313, 406, 335, 273),
    *(287, 186, 92, 165, 167, 164, 393, 391, 322, 410),
)
INNER_LIPS = (
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324),
    *(308, 415, 310, 311, 312, 13, 82, 81, 80, 191),
)
OVAL = (  # the outline of the face
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)

# The points of a head that keypoints are taught to be, each the mean of a group of mesh points, in
# the order of `motion.head_pose.POINTS`.
HEAD_GROUPS: tuple[tuple[int, ...], ...] = (
    (FOREHEAD,),
    (CHIN,),
    (LEFT_EAR,),
    (RIGHT_EAR,),
    (LEFT_JAW,),
    (RIGHT_JAW,),
    (NOSE_TIP,),
    LEFT_EYE,
    RIGHT_EYE,
    (LEFT_BROW,),
    (RIGHT_BROW,),
    (MOUTH_CORNERS[0],),
    (MOUTH_CORNERS[1],),
    (UPPER_LIP,),
    (LOWER_LIP,),
)
(
    HEAD_FOREHEAD, HEAD_CHIN, HEAD_LEFT_EAR, HEAD_RIGHT_EAR, HEAD_LEFT_JAW, HEAD_RIGHT_JAW,
    HEAD_NOSE, HEAD_LEFT_EYE, HEAD_RIGHT_EYE, HEAD_LEFT_BROW, HEAD_RIGHT_BROW, HEAD_LEFT_CORNER,
    HEAD_RIGHT_CORNER, HEAD_UPPER_LIP, HEAD_LOWER_LIP,
) = range(len(HEAD_GROUPS))  # fmt: skip
# Those that open and close: eyes and mouth.
EXPRESSIVE_GROUPS = (
    *(HEAD_LEFT_EYE, HEAD_RIGHT_EYE, HEAD_LEFT_CORNER, HEAD_RIGHT_CORNER),
    *(HEAD_UPPER_LIP, HEAD_LOWER_LIP),
)

# Points that hardly move with the expression, over the face: the head's pose is read from them.
RIGID_POINTS = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 234, 127, 162, 21, 54, 103, 67, 109),  # rim
    *(33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 327, 129, 358),  # eyes, nose
)

# The points that `FaceMesh478` looks at a second time, in the order in which it answers them.
LIPS_REFINED = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409, 78,
    95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415, 76, 77,
    90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408, 62, 96, 89,
    179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)  # fmt: skip
LEFT_EYE_REFINED = (  # the first 16 are the lids
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173, 130, 25, 110, 24,
    23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190, 226, 31, 228, 229, 230, 231, 232, 233, 244,
    113, 225, 224, 223, 222, 221, 189, 35, 124, 46, 53, 52, 65, 143, 111, 117, 118, 119, 120, 121,
    128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)  # fmt: skip
RIGHT_EYE_REFINED = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398, 359, 255, 339,
    254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414, 446, 261, 448, 449, 450, 451,
    452, 453, 464, 342, 445, 444, 443, 442, 441, 413, 265, 353, 276, 283, 282, 295, 372, 340, 346,
    347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)  # fmt: skip
NUM_LIDS = 16  # of the refined points of an eye, from the first


Half = tuple[int, ...]
Halves = tuple[tuple[Half, ...], tuple[Half, ...]]  # of several rings: those above, those below


def _halves(*rings: tuple[int, ...], step: int = 1) -> Halves:
    """Rings that list all points below, from corner to corner, and then all above.

    step: -1 where they begin at the right.
    """
    count = len(rings[0]) // 2 + 1
    above = ((ring[0], *ring[count:], ring[count - 1])[::step] for ring in rings)
    return tuple(above), tuple(ring[:count][::step] for ring in rings)


# Rings around eyes and mouth, the outermost first, as halves from left to right. Of eyes the lids
# and two around them, of the mouth the lips' four and the skin next to them.
LEFT_EYE_RINGS = _halves(*(LEFT_EYE_REFINED[i : i + NUM_LIDS] for i in (32, 16, 0)))
RIGHT_EYE_RINGS = _halves(*(RIGHT_EYE_REFINED[i : i + NUM_LIDS] for i in (32, 16, 0)), step=-1)
LIP_RINGS = _halves(AROUND_LIPS, *(LIPS_REFINED[i : i + len(OUTER_LIPS)] for i in (0, 40, 60, 20)))

# Places over the face whose colours tell people apart: forehead, brows, cheeks, chin, rim.
PALETTE_POINTS = (
    *(10, 151, 9, 8, 168, 6, 197, 195, 5, 4, 50, 280, 205, 425, 36, 266, 117, 346, 123, 352),
    *(70, 300, 107, 336, 17, 18, 200, 152, 61, 291, 172, 397, 234, 454, 162, 389, 67, 297),
)
