"""What readers cut, leave out or doubt: the kinds the health check goes by, and where each was met.

A kind is the beginning of the reader's own sentence about it.
"""

from dataclasses import dataclass

CUT = "Boxes cut at the edge of their image"
NO_NUMBERS = "Boxes left out, expected numbers"
NO_AREA = "Boxes left out, expected a width and height above 0"
OUTSIDE = "Boxes left out, expected inside the image"
NO_BOX_LEFT = "Images with no usable box, ground truth unknown"

UNREADABLE_LABELS = "Label files that cannot be read, ground truth of their images unknown"
UNREADABLE_OBJECTS = "Annotations that cannot be read, ground truth of their images unknown"
NO_LABELS = "Images without a label file, ground truth unknown"
NO_ANNOTATIONS = "Files without 'annotations', ground truth of their images unknown"
FRACTURE_WITHOUT_BOX = "Slices labelled fracture without a box, ground truth unknown"
HEALTHY_WITH_BOX = "Slices labelled healthy with boxes, boxes kept"

ONLY_HEADING = "Category that only heads others, no class"
UNUSED_CLASS = "Classes without a box"
HEALTHY_CLASS = "Class that marks healthy images with a box, kept as a class"
SAME_NAME = "Name of several classes"

GROUP_IN_SPLITS = "Groups in more than one split"
IN_TWO_SPLITS = "Images in two splits, kept in the first"
IN_TWO_FILES = "Images in two files, kept as in the first"
UNREADABLE_PICTURE = "Images that cannot be read, left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """`place` in words, such as "train/1.txt line 2" · `sample_id` "" where it is of no sample."""

    kind: str
    place: str
    sample_id: str = ""
