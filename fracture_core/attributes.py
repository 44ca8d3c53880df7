"""The words in which images are described: the keys and values of `Sample.attributes`.

Keys are in lower case: "modality" (DICOM's code), "body part", "view", "origin" ("real" or
"synthetic"), "hardware" ("yes" or "no"), "age group", and whatever else a data set tells. Several
values are joined by ", ". Readers of files convert with `in_words`, so that nothing else has to.

Body parts are the regions that DICOM's Body Part Examined names (PS3.16 Annex L), in plain
English, each with what it is part of. A thumb is a finger; fingers and wrist count as hand; foot,
ankle, knee, lower leg and thigh count as leg, as in FracAtlas (Abedeen et al., Scientific Data
2023), which knows only hand, leg, hip and shoulder; forearm, elbow and upper arm are parts of the
arm, clavicle and scapula of the shoulder, a hip of the pelvis. "extremity" is said of all limbs.
Laterality is no part of a region: "LHAND", "hand_left" and "Rt. hands" are all hand.
"""

import re
from collections.abc import Iterable, Mapping

SYNTHETIC_MAKER = "Fracture workbench demo data"
"""The manufacturer in the headers of this package's own synthetic DICOM files."""
# Each region with the regions that it is directly part of.
PART_OF: dict[str, tuple[str, ...]] = {
    "head": (),
    "skull": ("head",),
    "face": ("head",),
    "nose": ("face",),
    "orbit": ("face",),
    "jaw": ("face",),
    "teeth": ("jaw",),
    "neck": (),
    "spine": (),
    "cervical spine": ("spine", "neck"),
    "thoracic spine": ("spine",),
    "lumbar spine": ("spine",),
    "sacrum": ("spine", "pelvis"),
    "coccyx": ("spine", "pelvis"),
    "chest": (),
    "ribs": ("chest",),
    "sternum": ("chest",),
    "heart": ("chest",),
    "breast": (),
    "abdomen": (),
    "pelvis": (),
    "hip": ("pelvis", "lower extremity"),
    "extremity": (),
    "upper extremity": ("extremity",),
    "lower extremity": ("extremity",),
    "shoulder": ("upper extremity",),
    "clavicle": ("shoulder",),
    "scapula": ("shoulder",),
    "arm": ("upper extremity",),
    "upper arm": ("arm",),
    "elbow": ("arm",),
    "forearm": ("arm",),
    "hand": ("upper extremity",),
    "wrist": ("hand",),
    "finger": ("hand",),
    "thumb": ("finger",),
    "leg": ("lower extremity",),
    "thigh": ("leg",),
    "knee": ("leg",),
    "patella": ("knee",),
    "lower leg": ("leg",),
    "ankle": ("leg",),
    "foot": ("leg",),
    "heel": ("foot",),
    "toe": ("foot",),
}
_OTHER_NAMES = {
    "cspine": "cervical spine",
    "tspine": "thoracic spine",
    "dorsalspine": "thoracic spine",
    "lspine": "lumbar spine",
    "sspine": "sacrum",
    "lsspine": "lumbar spine",
    "thorax": "chest",
    "lung": "chest",
    "rib": "ribs",
    "mamma": "breast",
    "mandible": "jaw",
    "maxilla": "jaw",
    "dental": "teeth",
    "tooth": "teeth",
    "brain": "head",
    "cranium": "skull",
    "sinus": "face",
    "nasalbone": "nose",
    "humerus": "upper arm",
    "upperarm": "upper arm",
    "uparm": "upper arm",
    "lowarm": "forearm",
    "lowerarm": "forearm",
    "radius": "forearm",
    "ulna": "forearm",
    "radiusulna": "forearm",
    "acjoint": "shoulder",
    "carpus": "wrist",
    "fingers": "finger",
    "femur": "thigh",
    "upleg": "thigh",
    "upperleg": "thigh",
    "lowleg": "lower leg",
    "tibia": "lower leg",
    "fibula": "lower leg",
    "tibiafibula": "lower leg",
    "tibfib": "lower leg",
    "calf": "lower leg",
    "calcaneus": "heel",
    "upperlimb": "upper extremity",
    "lowerlimb": "lower extremity",
    "extremities": "extremity",
    "limb": "extremity",
}
_BODY_PARTS = {name.replace(" ", ""): name for name in PART_OF} | _OTHER_NAMES
_SIDES = frozenset(
    ("l", "r", "lt", "rt", "left", "right", "both", "bilateral", "bilat", "unilateral", "unpaired")
)
_VIEWS = {
    "ap": "frontal",
    "pa": "frontal",
    "dp": "frontal",
    "front": "frontal",
    "anteroposterior": "frontal",
    "posteroanterior": "frontal",
    "ll": "lateral",
    "rl": "lateral",
    "lat": "lateral",
    "side": "lateral",
    "llo": "oblique",
    "rlo": "oblique",
    "rao": "oblique",
    "lao": "oblique",
    "obl": "oblique",
}
MODALITIES = {
    "CR": "radiograph",
    "DX": "radiograph",
    "RG": "radiograph",
    "CT": "CT",
    "MG": "mammogram",
    "PX": "panoramic radiograph of the jaws",
    "IO": "radiograph of teeth",
    "MR": "MR",
    "US": "ultrasound",
    "PT": "PET",
    "NM": "nuclear medicine",
    "RF": "fluoroscopy",
    "XA": "angiography",
    "XC": "photograph",
    "OT": "another kind of image",
}
"""DICOM's codes of modalities with their kinds in words; a model reads codes of one kind alike."""
_MODALITY_NAMES = {
    "xr": "DX",
    "xray": "DX",
    "radiograph": "DX",
    "radiography": "DX",
    "plainfilm": "DX",
    "mammogram": "MG",
    "mammography": "MG",
    "panoramic": "PX",
    "orthopantomogram": "PX",
    "opg": "PX",
    "mri": "MR",
    "ultrasound": "US",
    "pet": "PT",
    "other": "OT",
}
_KEYS = {
    "body_part": "body part",
    "bodypart": "body part",
    "body part examined": "body part",
    "view position": "view",
    "view_position": "view",
    "projection": "view",
    "age_group": "age group",
}
_YES_NO = {"1": "yes", "true": "yes", "0": "no", "false": "no"}


def in_words(given: Mapping[str, object]) -> dict[str, str]:
    """Turn what a source tells into the keys and values of `Sample.attributes`.

    Empty values are left out.

    Example:
        >>> in_words({"Modality": "cr", "body_part": "RWRIST", "View": "AP"})
        {'modality': 'CR', 'body part': 'wrist', 'view': 'frontal'}
    """
    words: dict[str, str] = {}
    for name, value in given.items():
        key = _KEYS.get(_plain(name), _plain(name))
        text = _value(key, _plain(str(value)) if value is not None else "")
        if key and text:
            words[key] = text
    return words


def body_part(text: str) -> str:
    """Return the region in words; one that is not in `PART_OF` stays as it is, in lower case.

    Example:
        >>> body_part("LHAND"), body_part("Tib/Fib (left)")
        ('hand', 'lower leg')
    """
    pieces = [piece for piece in re.findall(r"[a-z]+", text.lower()) if piece not in _SIDES]
    name = "".join(pieces)
    tried = (name, name.removesuffix("s"), name[1:], name[1:].removesuffix("s"))
    without_side = tried[: 4 if name[:1] in ("l", "r") else 2]
    return next((_BODY_PARTS[each] for each in without_side if each in _BODY_PARTS), _plain(text))


def modality(text: str) -> str:
    """Return DICOM's code in capitals; usual names ("x-ray", "MRI") are understood."""
    letters = re.sub(r"[^a-z]", "", text.lower())
    return _MODALITY_NAMES.get(letters, text.strip().upper())


def view(text: str) -> str:
    """Return "frontal", "lateral" or "oblique", or else what was told, in lower case."""
    return _VIEWS.get(_plain(text), _plain(text))


def kind_of(code: str) -> str:
    """Return the kind of image in words; a code that is not known stands for itself."""
    return MODALITIES.get(code, code)


def several(text: str) -> tuple[str, ...]:
    """Split an attribute that may hold several values, such as "hand, wrist"."""
    return tuple(filter(None, (part.strip() for part in re.split(r"[,;|/+\\]", text))))


def is_part_of(part: str, whole: str) -> bool:
    """Whether one region is the other or lies in it.

    Example:
        >>> is_part_of("thumb", "hand"), is_part_of("hand", "thumb")
        (True, False)
    """
    return part == whole or any(is_part_of(each, whole) for each in PART_OF.get(part, ()))


def common(told: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return the attributes that all images of a set share; none where there is no image."""
    held: dict[str, str] | None = None
    for each in told:
        if held is None:
            held = dict(each)
        held = {key: value for key, value in held.items() if each.get(key) == value}
    return held or {}


def merged(*told: tuple[str, Mapping[str, str]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Merge the attributes of several sources, each a name and its attributes.

    Returns the attributes, and a sentence for each contradiction. Sources come in the order DICOM
    tags, table, reader. A device knows what it is, so the first modality counts. Body parts and
    views in tags are often wrong, as they follow the protocol that was chosen and not the patient:
    there, and everywhere else, the last one counts. Of a region and a part of it the part is taken,
    and that is no contradiction.
    """
    words: dict[str, str] = {}
    source: dict[str, str] = {}
    said = []
    for name, attributes in told:
        for key, value in attributes.items():
            held = words.get(key, value)
            keeps = _keeps(key, held, value)
            if _contradict(key, held, value):
                counts = source[key] if keeps else name
                said.append(
                    f"{key.capitalize()}: {source[key]} says {held}, {name} says {value}. "
                    f"What {counts} says counts."
                )
            if key not in words or not keeps:
                words[key], source[key] = value, name
    return words, tuple(said)


def _keeps(key: str, held: str, value: str) -> bool:
    if key == "body part":
        return _covers(value, held)
    return key == "modality"


def _contradict(key: str, held: str, value: str) -> bool:
    if key == "modality":
        return kind_of(held) != kind_of(value)
    if key == "body part":
        return not (_covers(held, value) or _covers(value, held))
    return held != value


def _covers(whole: str, parts: str) -> bool:
    """Whether every one of `parts` lies in one of `whole`."""
    return all(any(is_part_of(part, each) for each in several(whole)) for part in several(parts))


def _value(key: str, text: str) -> str:
    if key == "modality":
        return modality(text)
    if key == "hardware":
        return _YES_NO.get(text, text)
    if key == "body part":
        return _joined(body_part(each) for each in several(text))
    if key == "view":
        return _joined(view(each) for each in several(text))
    return text


def _joined(values: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _plain(text: str) -> str:
    return " ".join(text.split()).lower()
