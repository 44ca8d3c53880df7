"""What other packages bring, by entry points such as

[project.entry-points."fracture_core.families"]
my_family = "my_package:FAMILY"
"""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar

from fracture_core import importing
from fracture_core.errors import ConfigError


class Named(Protocol):
    """What an extension is told by."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions(Generic[T]):
    """`found` in the order of their entry points' names · `broken` a sentence of each that could
    not be loaded.
    """

    found: tuple[T, ...]
    broken: tuple[str, ...]


def load_extensions(group: str, kind: type[T], taken: Collection[str]) -> Extensions[T]:
    """What is installed of a kind; one that is broken, or whose name is taken, is told of."""
    found: dict[str, T] = {}
    broken = []
    for point in sorted(entry_points(group=group), key=lambda each: each.name):
        try:
            one = _load(point, kind)
            if one.name in taken or one.name in found:
                raise ConfigError(point.value, expected="a name of its own", found=repr(one.name))
            found[one.name] = one
        except ConfigError as error:
            broken.append(str(error))
    return Extensions(found=tuple(found.values()), broken=tuple(broken))


def _load(point: EntryPoint, kind: type[T]) -> T:
    advice = "Mend or remove the package that brings it."
    try:
        with importing.LOCK:
            found = point.load()
    except Exception as error:
        # Another package's code: whatever is wrong with it must not keep the rest away.
        raise ConfigError(
            point.name,
            expected=f"{point.value} to be imported",
            found=f"{type(error).__name__}: {error}",
            advice=advice,
        ) from error
    if not isinstance(found, kind):
        expected, got = f"{point.value} to be a {kind.__name__}", type(found).__name__
        raise ConfigError(point.name, expected=expected, found=got, advice=advice)
    return found
