"""A server's first seconds: many sessions import the same libraries at once."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

REPOSITORY = Path(__file__).parents[1]
FAMILIES = ("resnet18", "fasterrcnn_mobilenet_v3_large_320_fpn", "detr:tiny", "yolo11n.yaml")
# Processes of one thread, and the lock's own file; modules that import nothing else.
FREE = {"fracture_core/cli.py", "trainers/__main__.py", "fracture_core/importing.py"}
LIGHT = {"fcntl", "hashlib"}
COLD_START = """
import sys, threading
from fracture_core.models.library import open_model
from fracture_core.demo import make_radiograph
from fracture_core import masks

names = sys.argv[1:]
start, errors = threading.Barrier(20), []

def session(number):
    start.wait()
    try:
        model = open_model(names[number % len(names)])
        if number < len(names):
            model.predict([make_radiograph(seed=number)])
    except BaseException as error:
        errors.append(f"{names[number % len(names)]}: {type(error).__name__}: {error}")

threads = [threading.Thread(target=session, args=(number,)) for number in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*errors, sep="\\n", end="")
"""


def cold_start(home: Path, *names: str) -> str:
    """What went wrong in a new process whose 20 threads open these models at once."""
    ended = subprocess.run(
        [sys.executable, "-c", COLD_START, *names],
        cwd=REPOSITORY,
        env=os.environ | {"FRACTURE_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    return ended.stdout + (ended.stderr if ended.returncode else "")


@pytest.mark.slow
def test_twenty_sessions_open_four_families_in_a_cold_start(home: Path) -> None:
    assert cold_start(home, *FAMILIES) == ""


@pytest.mark.slow
def test_twenty_sessions_open_four_families_in_each_of_ten_cold_starts(home: Path) -> None:
    assert [cold_start(home, *FAMILIES) for _ in range(10)] == [""] * 10


def test_every_import_on_first_use_is_made_under_the_lock() -> None:
    files = [
        path
        for folder in ("fracture_core", "trainers", "pages")
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        if str(path.relative_to(REPOSITORY)) not in FREE
    ]
    free = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in files
        for line in unlocked_imports(path)
    ]
    assert not free, f"write `with importing.LOCK:` around these imports: {', '.join(free)}"


def test_an_import_without_the_lock_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        "import torch\n"
        "def first():\n"
        "    import torch\n"
        "    import hashlib\n"
        "    with importing.LOCK:\n"
        "        import cv2\n"
        "    with suppress(OSError):\n"
        "        from scipy import ndimage\n"
        "    return importlib.import_module('h5py')\n"
    )
    assert unlocked_imports(path) == [3, 8, 9]


def unlocked_imports(path: Path) -> list[int]:
    """Lines of imports inside functions that no `with importing.LOCK` encloses."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return sorted({line for function in functions for line in _unlocked(function)})


def _unlocked(node: ast.AST) -> Iterator[int]:
    for child in ast.iter_child_nodes(node):
        if _is_locked(child):
            continue
        if _imports(child):
            yield child.lineno
        yield from _unlocked(child)


def _imports(node: ast.AST) -> TypeGuard[ast.stmt | ast.expr]:
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).endswith("import_module")
    is_light = isinstance(node, ast.Import) and {each.name for each in node.names} <= LIGHT
    return isinstance(node, ast.Import | ast.ImportFrom) and not is_light


def _is_locked(node: ast.AST) -> bool:
    return isinstance(node, ast.With) and any(
        ast.unparse(item.context_expr) == "importing.LOCK" for item in node.items
    )
