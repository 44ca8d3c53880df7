"""One line of a benchmark's table."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure with its unit and, where there is one, the most or the least it should be."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    least: float | None = None

    @property
    def goal(self) -> str:
        if self.least is not None:
            return f"≥ {self.least:g} {self.unit}"
        return "" if self.limit is None else f"≤ {self.limit:g} {self.unit}"

    @property
    def verdict(self) -> str:
        if not self.goal:
            return ""
        too_little = self.least is not None and self.value < self.least
        too_much = self.limit is not None and self.value > self.limit
        return "MISSED" if too_little or too_much else "ok"
