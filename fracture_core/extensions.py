"""Extensions that other installed packages bring, found by their entry points.

A package names one in its pyproject.toml, for example a model family:

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
    """Anything with a name, as every extension must have one."""

    @property
    def name(self) -> str:
        """The name that the extension is chosen by."""
        ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions(Generic[T]):
    """The extensions of one kind.

    `found` are in the order of their entry points' names · `broken` holds one sentence about each
    that cannot be used.
    """

    found: tuple[T, ...]
    broken: tuple[str, ...]


def load_extensions(group: str, kind: type[T], taken: Collection[str]) -> Extensions[T]:
    """Load every installed extension of an entry point group that is a `kind`.

    One that cannot be imported, is of another kind or has a name that is already `taken` does not
    keep the others away: it becomes a sentence in `Extensions.broken`.
    """
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
        # This runs another package's code, which may raise anything.
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
