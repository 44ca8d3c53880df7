"""Pickles read without running them.

A pickle is a program: its opcodes may call any function by name. This reader steps through the
opcodes (`pickletools`) with a machine that can build plain values and *records*, descriptions of
objects that keep only the name of the class and the state. Nothing is imported, nothing is called;
tensors come out as references into the file. A name for which a YOLO checkpoint has no use is
refused.

What a pickle describes can be far larger than itself: a list that holds another one twice, and so
on forty times, takes 200 bytes. So values are counted as often as they are copied, no number is
longer than `MAX_BITS`, and nothing is formatted, hashed or compared before its type is known.
"""

import pickletools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from fracture_core.models.checkpoints.limits import (
    MAX_BITS,
    MAX_COPIED,
    MAX_DIMENSIONS,
    MAX_KEY,
    MAX_MARKS,
    MAX_NAME,
    MAX_NUMBER,
    MAX_OPCODES,
    printable,
)

_RECORD_CLASSES = re.compile(
    r"(torch\.nn\.modules|ultralytics(\.yolo)?\.(nn|utils))(\.\w+)*\.([A-Z]|v10)\w*", re.ASCII
)
# Harmless checkpoints call these; here the call makes a record.
_INERT_CALLS = re.compile(
    r"numpy\.(core|_core)\.multiarray\.(scalar|_reconstruct)|numpy\.(dtype|ndarray)"
    r"|_codecs\.encode|types\.SimpleNamespace|torch\.(Size|device)"
    r"|(pathlib|pathlib\._local)\.(Pure)?(Posix|Windows)?Path"
    r"|datetime\.(date|time|datetime|timedelta|timezone)|argparse\.Namespace",
    re.ASCII,
)
_SETS = frozenset(f"{m}.{n}" for m in ("builtins", "__builtin__") for n in ("set", "frozenset"))
_GETATTR = frozenset({"builtins.getattr", "__builtin__.getattr"})
_MAPPINGS = frozenset({"collections.OrderedDict", "collections.defaultdict"})
_PARAMETERS = frozenset(
    {"torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"}
)
_TENSOR = "torch._utils._rebuild_tensor_v2"
_VALUES = re.compile(
    r"torch\.(float|bfloat|half|double|u?int|long|short|bool|complex)\d*"
    r"|torch\.(Complex)?(Float|Double|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
    r"|(builtins|__builtin__)\.(int|float|str|bool|list|dict|tuple|complex|bytes|object)",
    re.ASCII,
)

_MOST_DIGITS = 20


class ForbiddenName(Exception):
    """The pickle asks for a name that no checkpoint needs; `str()` is that name, printable."""


class MalformedPickle(Exception):
    """The opcodes break off or make no sense."""


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names; it is never imported."""

    path: str


@dataclass(eq=False, slots=True)
class Record:
    """An object that was never built: the name of its class, and its state."""

    kind: str
    state: Any = None


@dataclass(frozen=True, slots=True)
class Storage:
    """A block of numbers in the file: its `kind` such as "HalfStorage", its key and its length."""

    kind: str
    key: str
    numel: int


@dataclass(frozen=True, slots=True)
class TensorRef:
    """A tensor in the file, not read yet; offset and stride count elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_pickle(data: bytes) -> Any:
    """Returns what the pickle describes, in dicts, lists, plain values, `Record` and `TensorRef`.

    Sets come back as lists. Raises ForbiddenName and MalformedPickle.
    """
    content, _ = read_next_pickle(data)
    return content


def read_next_pickle(
    data: bytes | BinaryIO, *, most: int = MAX_OPCODES
) -> tuple[Any, dict[str, Storage]]:
    """Returns what `read_pickle` does, and the blocks of numbers of which it speaks, by key.

    More than `most` opcodes are refused. A stream stands behind the pickle afterwards. Raises
    ForbiddenName and MalformedPickle.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > most:
                raise MalformedPickle(f"more than {most} opcodes")
            machine.step(opcode.name, argument)
        return machine.stack.pop(), machine.storages
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedPickle(printable(str(error), 200)) from error
    except (IndexError, KeyError) as error:
        raise MalformedPickle("opcodes that make no sense") from error


@dataclass(slots=True)
class _Machine:
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)
    copied: int = 0

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in _LITERALS:
            self.stack.append(_bounded(argument))
        elif opcode in _FRESH:
            self.stack.append(_FRESH[opcode]())
        elif opcode in _ACTIONS:
            _ACTIONS[opcode](self, argument)
        elif opcode not in _IGNORED:
            raise ForbiddenName(f"the pickle opcode {opcode}")

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        taken = self.stack[start:]
        del self.stack[start:]
        return taken

    def copy(self, items: Any) -> list[Any]:
        """Copies a list or tuple, counting: only here could a few bytes make many values."""
        if type(items) not in (list, tuple):
            raise TypeError(f"items out of a {type(items).__name__}")
        self.copied += len(items)
        if self.copied > MAX_COPIED:
            raise ValueError(f"more than {MAX_COPIED} copied values")
        return list(items)

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError("an empty stack")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken


_LITERALS = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)
_FRESH: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}
_IGNORED = frozenset({"PROTO", "FRAME", "STOP"})


def _bounded(literal: Any) -> Any:
    if type(literal) is int and literal.bit_length() > MAX_BITS:
        raise ValueError(f"a whole number of {literal.bit_length()} bits")
    return literal


def _mark(machine: _Machine, _: Any) -> None:
    if len(machine.marks) >= MAX_MARKS:
        raise ValueError(f"more than {MAX_MARKS} marks in one another")
    machine.marks.append(len(machine.stack))


def _memoize(machine: _Machine, index: Any) -> None:
    machine.memo[len(machine.memo) if index is None else index] = machine.stack[-1]


def _recall(machine: _Machine, index: Any) -> None:
    machine.stack.append(machine.memo[index])


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.pop(count)))


def _append(machine: _Machine, items: Sequence[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not list:
        raise TypeError(f"items for a {type(target).__name__}")
    target.extend(items)


def _set_items(machine: _Machine, items: Sequence[Any]) -> None:
    target = machine.stack[-1]
    if type(target) is not dict:
        raise TypeError(f"keys for a {type(target).__name__}")
    target.update(_pairs(items))


def _pairs(items: Sequence[Any]) -> dict[Any, Any]:
    for key in items[::2]:
        # Hashing a deeply nested tuple would end the process.
        if not isinstance(key, str | int | float | bool | bytes | None):
            raise TypeError(f"a {type(key).__name__} as a key")
        # Below MAX_KEY a number is its own hash, so that a file cannot make keys collide.
        if type(key) is int and not -MAX_KEY < key < MAX_KEY:
            raise ValueError(f"a whole number of {key.bit_length()} bits as a key")
    return dict(zip(items[::2], items[1::2], strict=True))


def _global(machine: _Machine, argument: str) -> None:
    module, _, name = argument.partition(" ")
    machine.stack.append(_allowed(module, name))


def _stack_global(machine: _Machine, _: Any) -> None:
    module, name = machine.pop(2)
    machine.stack.append(_allowed(module, name))


def _allowed(module: Any, name: Any) -> Name:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ForbiddenName(f"{printable(module)} of {printable(name)} as a name")
    if len(module) + len(name) > MAX_NAME:
        raise ForbiddenName(f"{printable(module, 80)}… {printable(name, 80)}…")
    path = f"{module}.{name}"
    known = path in _SETS | _GETATTR | _MAPPINGS | _PARAMETERS or path == _TENSOR
    patterns = (_RECORD_CLASSES, _INERT_CALLS, _VALUES)
    if not known and not any(pattern.fullmatch(path) for pattern in patterns):
        raise ForbiddenName(printable(path, MAX_NAME))
    return Name(path)


def _reduce(machine: _Machine, _: Any) -> None:
    function, arguments = machine.pop(2)
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise TypeError("a call of what is no function")
    machine.stack.append(_result(machine, function.path, arguments))


def _result(machine: _Machine, path: str, arguments: tuple[Any, ...]) -> Any:
    if path == _TENSOR:
        return _tensor(*arguments[:4])
    if path in _PARAMETERS:
        return arguments[0]
    if path in _MAPPINGS:
        items = arguments[0] if path == "collections.OrderedDict" and arguments else ()
        pairs = [machine.copy(item) for item in machine.copy(items)]
        return _pairs([part for key, value in pairs for part in (key, value)])
    if path in _SETS:
        return machine.copy(arguments[0]) if arguments else []
    if path in _GETATTR:
        return _attribute(*arguments)
    if _INERT_CALLS.fullmatch(path) or (_RECORD_CLASSES.fullmatch(path) and not arguments):
        return Record(path)
    raise ForbiddenName(f"a call of {path}")


def _attribute(owner: Any, name: Any) -> Record:
    """Returns a record for a head's `forward`, which older checkpoints name this way."""
    if not isinstance(owner, Name) or not isinstance(name, str):
        raise ForbiddenName(f"an attribute, {printable(name)}, of a {type(owner).__name__}")
    if name not in {"forward", "forward_fuse"}:
        raise ForbiddenName(f"the attribute {printable(name)!r} of {owner.path}")
    return Record(f"{owner.path}.{name}")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> TensorRef:
    shaped = all(
        type(part) in (tuple, list) and len(part) <= MAX_DIMENSIONS for part in (size, stride)
    )
    if not (isinstance(storage, Storage) and shaped and len(size) == len(stride)):
        raise ValueError("a tensor of impossible shape")
    if not all(map(_is_count, (offset, *size, *stride))):
        raise ValueError("a tensor of impossible shape")
    return TensorRef(storage, offset, tuple(size), tuple(stride))


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 <= number < MAX_NUMBER


def _new_object(machine: _Machine, count: int) -> None:
    kind, *arguments = machine.pop(count)
    if not isinstance(kind, Name) or not isinstance(arguments[0], tuple):
        raise TypeError("an object of what is no class")
    if not _RECORD_CLASSES.fullmatch(kind.path) or any(arguments):
        machine.stack.append(_result(machine, kind.path, arguments[0]))
    else:
        machine.stack.append(Record(kind.path))


def _build(machine: _Machine, _: Any) -> None:
    state = machine.stack.pop()
    target = machine.stack[-1]
    if isinstance(target, Record):
        target.state = state
    elif not isinstance(target, dict | TensorRef):
        raise TypeError(f"state for a {type(target).__name__}")


def _persistent(machine: _Machine, _: Any) -> None:
    identity = machine.stack.pop()
    if type(identity) is not tuple:
        raise TypeError("a block of numbers that is described wrongly")
    # Before PyTorch 1.6 a sixth part described views of blocks, which no state dict has.
    tag, kind, key, _location, numel, *view = identity
    valid = tag == "storage" and isinstance(kind, Name) and kind.path.endswith("Storage")
    named = isinstance(key, str) and key.isascii() and key.isdigit() and len(key) <= _MOST_DIGITS
    if not (valid and named and _is_count(numel)):
        raise ValueError("a block of numbers that is described wrongly")
    if len(view) > 1 or (view and view[0] is not None):
        raise ValueError("a view of a block of numbers")
    storage = Storage(kind.path.removeprefix("torch."), key, numel)
    if machine.storages.setdefault(key, storage) != storage:
        raise ValueError("a block of numbers that is described in two ways")
    machine.stack.append(storage)


_ACTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _mark,
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark().clear(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _recall),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: machine.stack.append(_pairs(machine.since_mark())),
    "APPEND": lambda machine, _: _append(machine, machine.pop(1)),
    "APPENDS": lambda machine, _: _append(machine, machine.since_mark()),
    "ADDITEMS": lambda machine, _: _append(machine, machine.since_mark()),
    "SETITEM": lambda machine, _: _set_items(machine, machine.pop(2)),
    "SETITEMS": lambda machine, _: _set_items(machine, machine.since_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "NEWOBJ": lambda machine, _: _new_object(machine, 2),
    "NEWOBJ_EX": lambda machine, _: _new_object(machine, 3),
    "BUILD": _build,
    "BINPERSID": _persistent,
}
