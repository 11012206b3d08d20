"""The documents for contributors agree with the project, and their examples work."""

import importlib.util
import inspect
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from neurozarr import sources

from ..programs import PATIENCE


def makefile(root):
    """Targets of the Makefile, each with its prerequisites and recipe; and its variables."""
    text = (root / "Makefile").read_text().replace("\\\n", "")
    targets = {
        name: (needs.split(), recipe.strip().splitlines())
        for name, needs, recipe in re.findall(r"^([\w-]+):(?!=)(.*)\n((?:\t.*\n)*)", text, re.M)
    }
    return targets, dict(re.findall(r"^(\w+) :?= (.*)$", text, re.M))


def load(path):
    return yaml.safe_load(path.read_text())


def test_pre_commit_hooks_are_the_tools_of_make_lint(root):
    targets, _ = makefile(root)
    (repository,) = load(root / ".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}
    assert repository["repo"] == "local"
    tools, recipe = targets["lint"]
    assert recipe == []
    assert list(hooks) == tools
    for name, hook in hooks.items():
        assert hook["entry"] == f"make {name}"
        assert hook["language"] == "system"
        # The id consists of words of the command.
        (command,) = targets[name][1]
        assert command.removeprefix("$(BIN)/").startswith(name.split("-")[0])
        assert all(word in command for word in name.split("-"))


def test_the_workflow_catalog_says_what_the_rules_have(root):
    usage = load(root / ".snakemake-workflow-catalog.yml")["usage"]
    rules = "".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    has_container = "container:" in rules
    deployment = usage["software-stack-deployment"]
    assert deployment == {
        "conda": "conda:" in rules,
        "apptainer": has_container,
        "apptainer+conda": has_container,
    }
    assert usage["report"] == ("report(" in rules)
    # Its other conditions for a page with instructions.
    assert (root / "workflow/Snakefile").is_file()
    assert (root / "config/README.md").is_file()
    assert not (root / "workflow/rules").exists()


def test_every_makefile_target_is_phony(root):
    targets, _ = makefile(root)
    text = (root / "Makefile").read_text().replace("\\\n", "")
    assert set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()) == targets.keys()


def test_slow_test_files_exist(root):
    names = makefile(root)[1]["SLOW"].split()
    assert names == sorted(names)
    for name in names:
        assert (root / f"tests/unit/test_{name}.py").is_file(), name


def test_continuous_integration_runs_its_script_on_a_full_clone(root):
    workflow = load(root / ".github/workflows/ci.yaml")
    # YAML reads the key "on" as true.
    assert workflow[True].keys() == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    assert "--user root" in job["container"]["options"]
    checkout, run = job["steps"]
    assert checkout["uses"].startswith("actions/checkout@")
    assert checkout["with"]["fetch-depth"] == 0
    assert run == {"run": "bash .ci/run"}
    assert (root / ".ci/run").is_file()
    assert job["container"]["image"] == "python:${{ matrix.python }}-bookworm"


def test_the_same_versions_of_python_are_declared_and_tested(root):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    declared = [
        line.removeprefix("Programming Language :: Python :: ") for line in project["classifiers"]
    ]
    (job,) = load(root / ".github/workflows/ci.yaml")["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == declared
    assert makefile(root)[1]["PYTHONS"].split() == declared
    assert project["requires-python"] == f">={declared[0]}"
    ruff = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["ruff"]
    assert ruff["target-version"] == f"py{declared[0].replace('.', '')}"


def test_the_summary_of_all_tests_is_the_last_of_continuous_integration(root):
    assert (root / ".ci/run").read_text().splitlines()[-1] == "make test"


def test_changelog_begins_with_unreleased_changes(root):
    text = (root / "CHANGELOG.md").read_text()
    sections = re.findall(r"^## (.*)$", text, re.M)
    assert sections[0] == "[Unreleased]"
    for section in sections[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", section)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.*)$", text, re.M)) <= kinds


def test_citation_matches_the_project(root):
    citation = load(root / "CITATION.cff")
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    (author,) = citation["authors"]
    assert author["name"] in (root / "LICENSE").read_text()
    required = {"message", "abstract", "keywords"}
    assert required <= citation.keys()
    known = {"cff-version", "type", "title", "license", "authors", "repository-code"} | required
    assert citation.keys() <= known


def test_all_packages_are_installed(root):
    listed = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    library = root / "scripts/neurozarr"
    found = [file.parent.relative_to(library.parent) for file in library.rglob("__init__.py")]
    assert sorted(listed) == sorted([*map(dotted, found), "neurozarr.workflow"])


def dotted(path):
    return ".".join(path.parts)


def anchors(path):
    """Anchors of a document's headings, as GitHub generates them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md", "README.md"])
def test_links_lead_to_existing_files_and_headings(root, name):
    for link in re.findall(r"\]\(([^)]+)\)", (root / name).read_text()):
        if "://" in link:
            continue
        path, _, heading = link.partition("#")
        assert (root / path).is_file(), link
        assert not heading or heading in anchors(root / path), link


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "README.md"])
def test_documents_name_existing_make_targets(root, name):
    named = set(re.findall(r"`make ([\w-]+)`", (root / name).read_text()))
    assert named
    assert named <= makefile(root)[0].keys()


@pytest.fixture
def examples(root):
    """The two Python code blocks in CONTRIBUTING.md: a source and its tests."""
    module, tests = re.findall(r"^```python\n(.*?)^```$", read(root), re.M | re.S)
    return module, tests


def read(root):
    return (root / "CONTRIBUTING.md").read_text()


def load_module(name, path, text, monkeypatch):
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_example_source_passes_the_example_tests(examples, tmp_path, monkeypatch):
    module, tests = examples
    cube = load_module("neurozarr.sources.cube", tmp_path / "cube.py", module, monkeypatch)
    monkeypatch.setattr(sources, "FAMILIES", (*sources.FAMILIES, cube.CubeSource))
    package = __name__.rpartition(".")[0]
    shown = load_module(f"{package}._cube", tmp_path / "test_cube.py", tests, monkeypatch)
    source = sources.open_source(shown.save(tmp_path / "first.cube"))
    done = 0
    for name, test in list(vars(shown).items()):
        if not name.startswith("test_"):
            continue
        cases = [{}]
        for mark in getattr(test, "pytestmark", []):
            cases = [dict(zip(mark.args[0], values, strict=True)) for values in mark.args[1]]
        for case in cases:
            given = dict(case)
            wanted = inspect.signature(test).parameters
            if "cube" in wanted:
                given["cube"] = source
            if "tmp_path" in wanted:
                given["tmp_path"] = tmp_path / str(done)
                given["tmp_path"].mkdir()
            test(**given)
            done += 1
    assert done == 6


def test_example_code_passes_ruff(examples, root, tmp_path):
    module, tests = examples
    for name, text in (("scripts/neurozarr/sources/cube.py", module), ("tests/cube.py", tests)):
        for command in (["format", "--check"], ["check"]):
            options = ["--config", root / "pyproject.toml", "--stdin-filename", root / name, "-"]
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, *options],
                input=text,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, done.stdout + done.stderr


def lines_of_tests(root, pattern):
    """Lines of tests, but not of benchmarks, in which a pattern is found, with their files."""
    return [
        f"{path.relative_to(root)}: {line.strip()}"
        for path in (root / "tests").rglob("*.py")
        if path.parent.name != "benchmarks"
        for line in path.read_text().splitlines()
        if re.search(pattern, line)
    ]


def test_no_test_asserts_a_duration(root):
    """Durations depend on the machine; speed is measured by the benchmarks."""
    clocks = r"^ +assert .*\b(time\.(\w*time|monotonic|perf_counter)\(\)|seconds|elapsed)\b.*<"
    assert [line for line in lines_of_tests(root, clocks) if "< end" not in line] == []


def test_no_test_waits_for_a_number_of_seconds(root):
    """What one machine does within them takes longer on another: all have the same PATIENCE."""
    waits = r"(timeout=|\.(wait|join|has_ended)\(|monotonic\(\) \+ |alarm\()\d*[1-9]"
    assert [line for line in lines_of_tests(root, waits) if "PATIENCE" not in line] == []
