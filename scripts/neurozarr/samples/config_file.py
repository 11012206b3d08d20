"""Check the form of a configuration file, before its options are looked at.

Snakemake reads the file, too, but takes the last of two values of an option, and its errors do not
name the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import yaml

from neurozarr.errors import ConfigError

#: Configuration file that Snakemake reads if it is in the working directory.
FOUND_CONFIG = Path("config/config.yaml")


def check_config_file(path: str | Path) -> None:
    """Check that a file is YAML or JSON that gives options, none of them twice.

    Pipes and devices, which can be read only once, are not looked at.

    Parameters
    ----------
    path
        The configuration file.

    Raises
    ------
    ConfigError
        The file cannot be read, has no options, or has one twice. The error names its line.
    """
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        return
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text ({error.reason}): save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if _is_json(path, text):
        return
    try:
        options = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_explain(path, error)) from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(options, yaml.MappingNode):
        raise ConfigError(f"{path} has no options: write at least one, such as source: scan.nii.gz")
    for key, name in _twice(options):
        raise ConfigError(f"{path}, line {key.start_mark.line + 1}: {name} is given twice")


def _is_json(path: str | Path, text: str) -> bool:
    """Whether a text is JSON, in which tabs are allowed; raise a ConfigError if a name is twice."""

    def check(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ConfigError(f"{path}: {twice} is given twice")
        return dict(pairs)

    try:
        return isinstance(json.loads(text, object_pairs_hook=check), dict)
    except (json.JSONDecodeError, RecursionError):
        return False


def _twice(top: yaml.MappingNode) -> Iterator[tuple[yaml.Node, str]]:
    """Yield the keys that are in the same mapping twice, with the dotted names of the options."""
    seen, inside = set(), [(top, "")]
    while inside:
        mapping, group = inside.pop()
        if id(mapping) in seen:  # Of an alias, which may repeat it many times.
            continue
        seen.add(id(mapping))
        names = set()
        for key, value in mapping.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in names:
                    yield key, group + key.value
                names.add(key.value)
                if isinstance(value, yaml.MappingNode):
                    inside.append((value, f"{group}{key.value}."))


def _explain(path: str | Path, error: yaml.MarkedYAMLError) -> str:
    """Describe in one sentence where a file is not YAML, and what is often wrong there."""
    mark = error.problem_mark or error.context_mark
    where = f"{path}, line {mark.line + 1}" if mark else str(path)
    problem = " ".join(str(error.problem or error.context or "").split())
    if "'\\t'" in problem:
        return f"{where}: not YAML, which is indented by spaces, not by tabs"
    if "alias" in f"{error.context}":
        return f"{where}: not YAML: a value that begins with * or & needs quotes"
    return f"{where}: not YAML: {problem}"
