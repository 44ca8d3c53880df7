"""No module imports itself by way of others: a contract of import-linter, in pyproject.toml.

Imports inside functions and those for the type checker alone count.
"""

from graphlib import CycleError, TopologicalSorter

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


def find_circle(graph: ImportGraph) -> list[str]:
    """The modules of one circle, each imported by the next, the first again last; [] = none."""
    imported = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


class NoCircles(Contract):
    """Broken where any circle is; the first one is shown."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        circle = find_circle(graph)
        return ContractCheck(kept=not circle, metadata={"circle": circle})

    def render_broken_contract(self, check: ContractCheck) -> None:
        output.print_error(" is imported by\n".join(check.metadata["circle"]))
