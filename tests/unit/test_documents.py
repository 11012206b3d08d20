"""Documents, schemas and lists of packages agree with each other."""

import json
import re
import tomllib

import pytest
import yaml

from neurozarr.samples.columns import PROPERTIES
from neurozarr.samples.schema import Schema


@pytest.fixture(scope="module")
def schema(root):
    return yaml.safe_load((root / "scripts/neurozarr/samples/config.schema.yaml").read_text())


def options(schema, prefix=""):
    for name, part in schema["properties"].items():
        if "properties" in part:
            yield from options(part, f"{prefix}{name}.")
        else:
            yield prefix + name, part


def table(root, heading):
    """Cells of the table below a heading of config/README.md, by the first cell of each row."""
    section = (root / "config/README.md").read_text().split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\S+)` \| (.*) \|$", section, re.M)
    return {name: cells.split(" | ") for name, cells in rows}


def test_config_readme_documents_every_option(root, schema):
    assert table(root, "Options") == {
        name: [f"`{json.dumps(option['default'])}`", " ".join(option["description"].split())]
        for name, option in options(schema)
        if name not in PROPERTIES
    }


def test_config_readme_documents_every_column(root):
    columns = yaml.safe_load((root / "scripts/neurozarr/samples/samples.schema.yaml").read_text())
    assert table(root, "Sample sheet") == {
        name: [" ".join(column["description"].split())]
        for name, column in columns["properties"].items()
    }


def test_columns_are_options_that_are_described_once(root, schema):
    columns = yaml.safe_load((root / "scripts/neurozarr/samples/samples.schema.yaml").read_text())
    shared = columns["properties"].keys() - {"sample", "source", "label_of"}
    assert shared == set(PROPERTIES)
    for name in shared:
        reference = {"$ref": f"samples.schema.yaml#/properties/{name}"}
        expected = {"anyOf": [{"type": "null"}, reference], "default": None}
        assert schema["properties"][name] == expected


def test_example_sheet_is_valid(root):
    text = (root / "config/README.md").read_text()
    schema = Schema(root / "scripts/neurozarr/samples/samples.schema.yaml")
    sheet = next(block for block in text.split("```") if "freesurfer\t" in block)
    header, *lines = sheet.strip().splitlines()[1:]
    columns = header.split("\t")
    assert len(lines) >= 16
    for line in lines:
        cells = line.split("\t")
        assert len(cells) <= len(columns)
        schema.check({name: cell for name, cell in zip(columns, cells, strict=False) if cell})


def test_config_yaml_has_every_option_with_its_default(root, schema):
    text = (root / "config/config.yaml").read_text()
    config = yaml.safe_load(text)
    for name, option in options(schema):
        value = config
        for key in name.split("."):
            value = value[key]
        assert value == option["default"], name
    lines = [line.strip() for line in text.splitlines()]
    described = {f"{name}: null" for name in PROPERTIES[1:]}  # The comment is above the first.
    commented = [
        lines[number - 1].startswith("#")
        for number, line in enumerate(lines)
        if re.match(r"\w+: ", line) and (line not in described)
    ]
    assert all(commented)
    assert len(commented) == len(dict(options(schema))) - len(described)


def lock(root):
    text = (root / "envs/requirements.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)$", text, re.M)), text


def needed(root, *extras):
    """Names of the packages that the project and some of its extras need."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = {normal(name) for name in project["dependencies"]}
    for extra in extras:
        wanted |= {normal(name) for name in project["optional-dependencies"][extra]}
    return wanted


def families(root):
    """The extras of all families of sources."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    (everything,) = project["optional-dependencies"]["sources"]
    return re.search(r"\[(.*)\]", everything)[1].split(",")


def normal(name):
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=]", name)[0].strip()).lower()


def test_lock_file_pins_every_package_and_names_no_index(root):
    pins, text = lock(root)
    assert len(pins) == len(text.splitlines())
    wanted = needed(root, "test", *families(root))
    assert wanted <= {normal(name) for name in pins}


def test_every_rule_has_a_script_and_a_step_of_its_name(root):
    for rule in (root / "rules").glob("*.smk"):
        text = rule.read_text()
        if "\nrule " not in f"\n{text}":  # It has what rules share.
            continue
        assert f"rule {rule.stem}:" in text
        assert f"../scripts/{rule.stem}.py" in text
        script = (root / f"scripts/{rule.stem}.py").read_text()
        assert f"from neurozarr.steps.{rule.stem} import" in script
