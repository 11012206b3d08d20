"""The layers of the library: an import leads to the same package, or to a lower floor."""

import ast
from graphlib import TopologicalSorter

import pytest

#: The packages of the library, and the modules beside them, from the bottom up.
FLOORS = [
    {"errors", "units", "version", "durable", "regions", "axes"},
    {"files"},
    {"zarr"},
    {"ome", "nifti"},
    {"plan", "sources"},
    {"voxels"},
    {"drivers", "run"},
    {"samples"},
    {"verify"},
    {"steps"},
    {"conversion", "__main__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


@pytest.fixture(scope="module")
def modules(root):
    """Each module of the library with the modules that it imports, for types alone too."""
    library = root / "scripts/neurozarr"
    files = {file.relative_to(library).with_suffix(""): file for file in library.rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__"): file for path, file in files.items()}
    return {name: imported(ast.parse(file.read_text()), names) for name, file in names.items()}


def imported(tree, names):
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurozarr"):
            package = node.module.removeprefix("neurozarr").strip(".")
            for alias in node.names:
                inner = f"{package}.{alias.name}".strip(".")
                found.add(inner if inner in names else package)
    return found - {"", "__init__"}


def room(module):
    return module.split(".")[0]


def test_an_import_leads_to_the_same_package_or_to_a_lower_floor(modules):
    upwards = [
        f"{module} imports {other}"
        for module, others in modules.items()
        for other in others
        if module != "__init__"
        and room(module) != room(other)
        and FLOOR[room(other)] >= FLOOR[room(module)]
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle(modules):
    order = TopologicalSorter({name: others - {name} for name, others in modules.items()})
    assert list(order.static_order())


def test_every_room_is_on_a_floor(modules):
    assert {room(module) for module in modules} - {"__init__"} == set(FLOOR)
