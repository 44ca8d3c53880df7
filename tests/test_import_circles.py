from grimp import ImportGraph

from tests.support.import_circles import find_circle


def graph_of(*imports: str) -> ImportGraph:
    graph = ImportGraph()
    for each in imports:
        importer, imported = each.split(" > ")
        graph.add_import(importer=importer, imported=imported)
    return graph


def test_a_circle_is_found_however_long_it_is() -> None:
    circle = find_circle(graph_of("a > b", "b > c", "c > d", "d > b", "a > e"))
    assert circle[0] == circle[-1]
    assert set(circle) == {"b", "c", "d"}


def test_modules_that_import_the_same_one_are_no_circle() -> None:
    assert find_circle(graph_of("a > b", "a > c", "b > d", "c > d")) == []
