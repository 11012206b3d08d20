"""Layers of the library: a module imports only from its own package or from a lower layer."""

import ast
import re
from graphlib import TopologicalSorter

import pytest

#: Packages and top-level modules of the library, from the lowest layer to the highest.
LAYERS = [
    {"errors", "units", "version", "durable", "regions", "axes", "tables"},
    {"files", "fingerprints"},
    {"zarr"},
    {"ome", "nifti"},
    {"plan", "sources"},
    {"voxels", "bids"},
    {"drivers", "run"},
    {"samples"},
    {"verify", "preview", "report"},
    {"steps"},
    {"conversion", "info", "status", "viewer"},
    {"commands"},
    {"__main__"},
]
LAYER = {package: number for number, packages in enumerate(LAYERS) for package in packages}


@pytest.fixture(scope="module")
def modules(root):
    """Map each module of the library to the modules that it imports, also only for types."""
    library = root / "scripts/neurozarr"
    files = {file.relative_to(library).with_suffix(""): file for file in library.rglob("*.py")}
    names = {".".join(path.parts).removesuffix(".__init__"): file for path, file in files.items()}
    return {name: imported(ast.parse(file.read_text()), names) for name, file in names.items()}


def imported(tree, names):
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("neurozarr"):
            parent = node.module.removeprefix("neurozarr").strip(".")
            for alias in node.names:
                inner = f"{parent}.{alias.name}".strip(".")
                found.add(inner if inner in names else parent)
    return found - {"", "__init__"}


def package(module):
    return module.split(".")[0]


def test_packages_import_only_lower_layers(modules):
    upwards = [
        f"{module} imports {other}"
        for module, others in modules.items()
        for other in others
        if module != "__init__"
        and package(module) != package(other)
        and LAYER[package(other)] >= LAYER[package(module)]
    ]
    assert upwards == []


def test_no_circular_imports(modules):
    order = TopologicalSorter({name: others - {name} for name, others in modules.items()})
    assert list(order.static_order())


def test_every_package_is_in_a_layer(modules):
    assert {package(module) for module in modules} - {"__init__"} == set(LAYER)


def test_readme_lists_the_packages_from_the_highest_layer_to_the_lowest(root):
    tree = (root / "README.md").read_text().partition("\nneurozarr\n├── ")[2].partition("```")[0]
    listed = re.findall(r"^(?:[├└]── )?(\w+) ", tree, re.M)
    assert {*listed} == LAYER.keys() - {"__main__"}
    assert listed == sorted(listed, key=LAYER.get, reverse=True)
