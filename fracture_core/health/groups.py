"""Pictures that belong together, joined pair by pair: the parts of a graph that hang together."""

from collections.abc import Iterable


class Groups:
    """Sets of names, each alone at first (union by the least name, paths halved)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def head(self, name: str) -> str:
        """The least name of the group: the same in whatever order it was joined."""
        while (parent := self._parents.get(name, name)) != name:
            self._parents[name] = self._parents.get(parent, parent)
            name = parent
        return name

    def are_joined(self, one: str, other: str) -> bool:
        return self.head(one) == self.head(other)

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.head(one), self.head(other)))
        self._parents[second] = first

    def join_all(self, names: Iterable[str]) -> None:
        """Join every name with the first."""
        first = ""
        for name in names:
            first = first or name
            self.join(first, name)
