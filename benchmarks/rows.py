"""The rows of a benchmark's table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A measured value with its unit and, where there is a goal, its upper or its lower limit.

    Example:
        >>> row = Row(name="server start", value=2.5, unit="s", limit=3)
        >>> row.goal, row.verdict
        ('≤ 3 s', 'ok')
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    least: float | None = None

    @property
    def goal(self) -> str:
        """The goal as text, empty where there is none."""
        if self.least is not None:
            return f"≥ {self.least:g} {self.unit}"
        return "" if self.limit is None else f"≤ {self.limit:g} {self.unit}"

    @property
    def verdict(self) -> str:
        """Either "ok" or "MISSED", empty where there is no goal."""
        if not self.goal:
            return ""
        too_little = self.least is not None and self.value < self.least
        too_much = self.limit is not None and self.value > self.limit
        return "MISSED" if too_little or too_much else "ok"
