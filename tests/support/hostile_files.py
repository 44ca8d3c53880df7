"""Weights files made to freeze or fill whoever reads them; small, and harmless to whoever does not.

Each maker writes one file and returns its path. Pickles are put together opcode by opcode, as no
honest program would write them.
"""

import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

Maker = Callable[[Path], Path]
_PROTOCOL = b"\x80\x04"
_CYCLIC_LIST = b"]q\x00h\x00a"


def pack(path: Path, data: bytes, blocks: dict[str, bytes] | None = None) -> Path:
    """A file laid out as `torch.save` lays it out, around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/byteorder", b"little")
        for key, block in (blocks or {}).items():
            archive.writestr(f"x/data/{key}", block)
    return path


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def name(path: str) -> bytes:
    module, _, attribute = path.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def whole(number: int) -> bytes:
    raw = number.to_bytes((number.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8b" + struct.pack("<i", len(raw)) + raw


def doubled(times: int = 40, of: bytes = b"]") -> bytes:
    """A list that holds another one twice, and so on: 2 ** `times` leaves in some 8 bytes each."""
    return of + b"q\x000](h\x00h\x00e" * times


def mapping(pairs: dict[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in pairs.items()) + b"u"


def module(state: bytes, kind: str = "torch.nn.modules.container.Sequential") -> bytes:
    return name(kind) + b")\x81" + state + b"b"


def tensor(numel: int = 4, size: int | None = None, kind: str = "FloatStorage") -> bytes:
    size = numel if size is None else size
    storage = b"(" + text("storage") + name(f"torch.{kind}") + text("0") + text("cpu")
    storage += whole(numel) + b"tQ"
    shape = whole(0) + whole(size) + b"\x85" + whole(1) + b"\x85"
    return name("torch._utils._rebuild_tensor_v2") + b"(" + storage + shape + b"\x89)tR"


def shared_modules(levels: int = 38, leaf: bytes = b"}") -> bytes:
    """Each module has another one twice as a child: 2 ** `levels` ways to the leaf."""
    made = module(mapping({text("_modules"): leaf}))
    for _ in range(levels):
        children = b"}(" + text("a") + b"h\x00" + text("b") + b"h\x00u"
        made += b"q\x000" + module(mapping({text("_modules"): children}))
    return made


def yolo(network: bytes) -> bytes:
    return _PROTOCOL + mapping({text("model"): network}) + b"."


def network_of(**state: bytes) -> bytes:
    """A network's record with these entries of its state."""
    return module(
        mapping({text(key): value for key, value in state.items()}),
        "ultralytics.nn.tasks.DetectionModel",
    )


def _pickles() -> dict[str, bytes]:
    hundred_thousand = b"](" + b"K\x01" * 100_000 + b"e"
    many = (name("builtins.set") + b"h\x05\x85R") * 20_000
    return {
        "a name that is a list doubled forty times": _PROTOCOL
        + text("torch")
        + doubled()
        + b"\x93.",
        "a module that is a list doubled forty times": _PROTOCOL + doubled() + text("x") + b"\x93.",
        "an attribute of a list doubled forty times": (
            _PROTOCOL + name("builtins.getattr") + doubled() + text("x") + b"\x86R."
        ),
        "an attribute named by a doubled list": (
            _PROTOCOL + name("builtins.getattr") + name("torch.float32") + doubled() + b"\x86R."
        ),
        "sets copied until memory runs out": (
            _PROTOCOL + hundred_thousand + b"q\x05" + b"(" + many + b"t."
        ),
        "ordered dicts of one list": (
            _PROTOCOL
            + b"]("
            + b"".join(whole(n) + b"N\x86" for n in range(20_000))
            + b"eq\x05("
            + (name("collections.OrderedDict") + b"h\x05\x85R") * 5_000
            + b"t."
        ),
        "a whole number of a million digits as a key": (
            _PROTOCOL + b"}" + whole(1 << 3_400_000) + b"Ns."
        ),
        "a whole number of a million digits as a name": (
            _PROTOCOL + whole(1 << 3_400_000) + text("x") + b"\x93."
        ),
        "a text of a million digits as a number": b"I" + b"9" * 1_000_000 + b"\n.",
        "tuples in tuples": _PROTOCOL + b"]" + b"\x85" * 900_000 + b".",
        "brackets that never close": _PROTOCOL + b"(" * 900_000 + b".",
        "a million empty dicts": _PROTOCOL + b"(" + b"}" * 990_000 + b"t.",
        "opcodes without end": _PROTOCOL + b"N0" * 8_000_000 + b".",
        "a name of a million dots": b"c" + b"torch.nn.modules." * 500_000 + b"A\nb\n.",
        "a key that is a doubled list": _PROTOCOL + b"}" + doubled() + b"Ns.",
        "numbers whose hashes collide": (
            _PROTOCOL
            + b"}("
            + b"".join(whole((n << 61) - n) + b"N" for n in range(1, 60_000))
            + b"u."
        ),
        "a block named by a doubled list": (
            _PROTOCOL
            + b"("
            + text("storage")
            + name("torch.FloatStorage")
            + doubled()
            + text("cpu")
            + b"K\x04tQ."
        ),
        "a tensor of a million dimensions": (
            _PROTOCOL
            + b"]("
            + b"K\x01" * 500_000
            + b"eq\x05"
            + (name("torch._utils._rebuild_tensor_v2") + b"(NK\x00h\x05h\x05tR") * 100
            + b"."
        ),
        "a state dict of a doubled list": _PROTOCOL + mapping({text("model"): doubled()}) + b".",
        "a dict that holds itself": _PROTOCOL + b"}q\x00(" + text("model") + b"h\x00u.",
        "a list that holds itself": _PROTOCOL + _CYCLIC_LIST + b".",
        "an error that quotes the file": b"S" + b"x" * 20_000_000 + b"\n.",
        "keys that cannot be printed": _PROTOCOL + mapping({text("\ud800\x1b[2J"): b"N"}) + b".",
        "tensor names that cannot be printed": (
            _PROTOCOL + mapping({text("\ud800\x1b[2J"): tensor()}) + b"."
        ),
        "a tensor name of a megabyte": _PROTOCOL
        + mapping({text("a" * 1_000_000): tensor()})
        + b".",
        "a hundred thousand tensors": (
            _PROTOCOL
            + tensor()
            + b"q\x00}("
            + b"".join(text(f"{n}") + b"h\x00" for n in range(100_000))
            + b"u."
        ),
        "a tensor beyond the end of the world": (
            _PROTOCOL + mapping({text("fc.weight"): tensor(1 << 61)}) + b"."
        ),
        "a tensor that repeats one number": (
            _PROTOCOL + mapping({text("fc.weight"): tensor(4, size=1 << 40)}) + b"."
        ),
    }


def _networks() -> dict[str, bytes]:
    """What only shows once a network is looked for in the pickle."""
    cyclic_module = module(b"}(" + text("_modules") + b"}q\x03u") + b"q\x04"
    cyclic_module += b"h\x03" + text("a") + b"h\x04s00"
    names = b"](" + text("a") + b"e"
    return {
        "modules shared 2 ** 38 times": yolo(
            shared_modules()
            + b"q\x060"
            + network_of(yaml=b"}", _modules=mapping({text("a"): b"h\x06"}))
        ),
        "tensors in modules shared 2 ** 38 times": yolo(
            tensor()
            + b"q\x070"
            + module(mapping({text("_parameters"): mapping({text("w"): b"h\x07"})}))
            + b"q\x080"
            + shared_modules(leaf=mapping({text("a"): b"h\x08"}))
            + b"q\x060"
            + network_of(yaml=b"}", _modules=mapping({text("a"): b"h\x06"}))
        ),
        "a module that holds itself": yolo(
            cyclic_module + network_of(yaml=b"}", _modules=mapping({text("a"): b"h\x04"}))
        ),
        "a backbone doubled forty times": yolo(
            network_of(yaml=mapping({text("backbone"): doubled()}), names=names)
        ),
        "a backbone that holds itself": yolo(
            network_of(yaml=mapping({text("backbone"): _CYCLIC_LIST}), names=names)
        ),
        "a backbone of tuples in tuples": yolo(
            network_of(
                yaml=mapping({text("backbone"): b"]" + b"\x85" * 500_000}),
                names=names,
            )
        ),
        "a class count of a million digits": yolo(
            network_of(yaml=mapping({text("nc"): whole(1 << 3_400_000)}))
        ),
        "class names that are doubled lists": yolo(network_of(yaml=b"}", names=doubled())),
        "a million class names": yolo(
            network_of(yaml=b"}", names=b"](" + (text("a")) * 300_000 + b"e")
        ),
        "buffers left out by a list of a million": yolo(
            network_of(
                yaml=b"}",
                _non_persistent_buffers_set=b"](" + b"K\x01" * 900_000 + b"e",
                _buffers=b"}(" + b"".join(whole(n) + b"N" for n in range(10_000)) + b"u",
            )
        ),
        "a training of a doubled size": (
            _PROTOCOL
            + mapping({text("model"): network_of(yaml=doubled()), text("train_args"): doubled()})
            + b"."
        ),
    }


def _undecodable_name(path: Path) -> Path:
    pack(path, pickle.dumps({}))
    data = path.read_bytes().replace(b"x/data.pkl", b"\xff/data.pkl")
    # Bit 11 says that names are UTF-8.
    start = data.index(b"PK\x01\x02")
    flagged = bytearray(data)
    flagged[start + 9] |= 0x08
    path.write_bytes(flagged)
    return path


def _deflated_bomb(path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"N" * 100_000_000)
    return path


def _overlapping_entries(path: Path) -> Path:
    """A thousand entries of one directory that all lie at the same bytes."""
    pack(path, pickle.dumps({"a": "b" * 100_000}))
    data = path.read_bytes()
    start = data.index(b"PK\x01\x02")
    first = data[start : data.index(b"PK\x01\x02", start + 4)]
    entries = b"".join(
        first.replace(b"x/data.pkl", f"x{n:04}ta.pkl"[:10].encode()) for n in range(1_000)
    )
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1_000, 1_000, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    return path


def _many_entries(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", pickle.dumps({}))
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    count = 60_000
    entries = data[start:end] * count
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    path.write_bytes(data[:start] + entries + tail)
    return path


def safetensors(path: Path, header: bytes, numbers: bytes = b"", length: int | None = None) -> Path:
    size = len(header) if length is None else length
    path.write_bytes(struct.pack("<Q", size) + header + numbers)
    return path


def _headers() -> dict[str, tuple[bytes, bytes]]:
    def one(name: str = "fc.weight", **facts: object) -> bytes:
        said = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **facts}
        return json.dumps({name: said}).encode()

    digits = b'{"fc.weight": {"dtype": "F32", "shape": [' + b"9" * 1_000_000
    twice = {n: {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} for n in ("a", "b")}
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return {
        "brackets in brackets": (b"[" * 1_000_000, b""),
        "objects in objects": (b'{"a":' * 500_000, b""),
        "a shape of a million digits": (digits + b"]}}", b""),
        "a shape of four thousand digits": (
            b'{"fc.weight": {"dtype": "F32", "shape": ['
            + b"9" * 4_000
            + b'], "data_offsets": [0, 16]}}',
            bytes(16),
        ),
        "a shape that multiplies to nothing": (
            one(shape=[0, 1 << 61, 1 << 61], data_offsets=[0, 0]),
            b"",
        ),
        "a negative shape": (one(shape=[-4]), bytes(16)),
        "a hundred dimensions": (one(shape=[1] * 100), bytes(16)),
        "a shape that is a fraction": (one(shape=[4.0]), bytes(16)),
        "offsets beyond the end": (one(data_offsets=[0, 1 << 60]), bytes(16)),
        "offsets backwards": (one(data_offsets=[16, 0]), bytes(16)),
        "tensors over one another": (json.dumps(twice).encode(), bytes(16)),
        "a name that cannot be printed": (one("\ud800\x1b[2J"), bytes(16)),
        "numbers of no known kind": (one(dtype="F8_E4M3", shape=[16]), bytes(16)),
        "a kind that is a list": (one(dtype=[[["F32"]]]), bytes(16)),
        "more tensors than any network": (
            json.dumps({f"{n}": empty for n in range(80_000)}).encode(),
            b"",
        ),
        "a header that is no text": (b"\xff\xfe" * 100, b""),
        "a header of nothing": (b"", b""),
    }


def _of_pickle(data: bytes) -> Maker:
    return lambda path: pack(path.with_suffix(".pt"), data, {"0": bytes(16)})


def _of_header(header: bytes, numbers: bytes) -> Maker:
    return lambda path: safetensors(path.with_suffix(".safetensors"), header, numbers)


def _in_archive(make: Maker) -> Maker:
    return lambda path: make(path.with_suffix(".pt"))


CHECKPOINTS: dict[str, Maker] = {
    **{kind: _of_pickle(data) for kind, data in _pickles().items()},
    "a zip name that is no text": _in_archive(_undecodable_name),
    "a zip that unpacks to a hundred megabytes": _in_archive(_deflated_bomb),
    "zip entries over one another": _in_archive(_overlapping_entries),
    "sixty thousand zip entries": _in_archive(_many_entries),
}
NETWORKS: dict[str, Maker] = {kind: _of_pickle(data) for kind, data in _networks().items()}
SAFETENSORS: dict[str, Maker] = {
    **{kind: _of_header(*parts) for kind, parts in _headers().items()},
    "a header of eight exabytes": lambda path: safetensors(
        path.with_suffix(".safetensors"), b"{}", length=1 << 63
    ),
}
"""Makers by what they make; each file is refused with a sentence."""
