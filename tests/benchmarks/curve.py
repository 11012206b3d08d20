"""Time of a sample against the number of samples, of the workflow and of Snakemake alone.

``COUNTS="10 100"`` measures those numbers of samples. The samples are volumes of 8³ voxels, so that
what is measured is the planning, the files beside the voxels, and Snakemake. Snakemake alone runs
as many jobs, which make nothing but their output, with the same profile.
"""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench import ROOT, THREADS, run, write_nifti

COUNTS = [int(count) for count in os.environ.get("COUNTS", "10 100 1000 4000").split()]

#: A workflow whose jobs do nothing, one for each bundle.
ALONE = """
rule all:
    input:
        expand("results/bundle-{number}", number=range(config["jobs"])),

rule bundle:
    output:
        touch("results/bundle-{number}"),
    script:
        "nothing.py"
"""


def write_samples(folder, count):
    """Write volumes and their sheet; its path."""
    sources = folder / "in"
    sources.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for number in range(count):
        if not (sources / f"s{number}.nii").exists():
            volume = random.integers(0, 1000, (8, 8, 8))
            write_nifti(sources / f"s{number}.nii", (8, 8, 8), "i2", volume.__getitem__)
    rows = [f"s{number}\t{sources / f's{number}.nii'}\n" for number in range(count)]
    sheet = folder / f"{count}.tsv"
    sheet.write_text("sample\tsource\n" + "".join(rows))
    return sheet


def measure(snakefile, folder, *arguments):
    """Wall and CPU seconds of Snakemake in a directory, and its output."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--cores", str(THREADS), "--workflow-profile", str(ROOT / "profiles/default")]
    wall, cpu, _ = run([*command, *arguments], folder)
    return wall, cpu, (folder / "output.txt").read_text()


def measure_count(folder, count):
    """A row of the table."""
    config = ["--config", f"samples={write_samples(folder, count)}"]
    work, alone = folder / "work", folder / "alone"
    for place in (work, alone):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    planned, converted, nothing = (
        measure(ROOT / "Snakefile", work, *options, *config) for options in (["--dry-run"], [], [])
    )
    bundles = int(re.search(r"^convert_bundle +(\d+)$", planned[2], re.MULTILINE)[1])
    (alone / "Snakefile").write_text(ALONE)
    (alone / "nothing.py").touch()
    empty = measure(alone / "Snakefile", alone, "--config", f"jobs={bundles}")
    cells = [
        f"{wall:.1f}, {cpu:.1f} ({1000 * cpu / count:.1f})"
        for wall, cpu, _ in (planned, converted, nothing, empty)
    ]
    return f"| {count:,} | {bundles} | {' | '.join(cells)} |"


def main():
    """Measure, and print a table in Markdown."""
    print("Wall and CPU seconds; in brackets, CPU milliseconds for each sample.\n")
    print("| samples | bundles | plan | convert | nothing to do | Snakemake alone |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        for count in COUNTS:
            print(measure_count(Path(folder), count), flush=True)


if __name__ == "__main__":
    main()
