"""Whole conversions by neurozarr and by its peers, side by side: ``make bench``.

Each tool converts the same files, in turn, ``REPEAT`` times; the fastest run counts. A table, and a
plot of time against size, go to ``results/`` beside this file.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import nibabel
import numcodecs
import numpy as np
import psutil
import tifffile

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = ROOT / ".venv-bench/bin/python"
#: neurozarr with and without fsync: what surviving a power cut costs.
UNSYNCED = "neurozarr without syncing"
ONE_PROCESS = "neurozarr.convert, in a loop"
TOOLS = ("nii2zarr", "ngff-zarr", "ome-zarr-py", "stack-to-chunk")
THREADS = 2
REPEAT = int(os.environ.get("REPEAT", "2"))
#: Names of the cases that are run; all, where none is named.
CASES = os.environ.get("CASES", "").split()
LARGE = os.environ.get("LARGE") == "1"

#: The volume uint16-768 in other formats, which neurozarr alone reads.
FORMATS = ("stack-768", "bigtiff-768", "hdf5-768")

#: Codecs of a run: what each tool does by itself, and the same one for all.
CODECS = {"own": {}, "zstd5": {"cname": "zstd", "clevel": 5, "shuffle": "shuffle"}}


@dataclass
class Measure:
    """One conversion: times in s, peak of the process tree without mapped files, size on disk."""

    case: str
    codec: str
    tool: str
    wall: float
    cpu: float
    peak_mb: float
    size_mb: float


# Volumes


def write_nifti(path, shape, dtype, plane):
    """Write a NIfTI file plane by plane."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_xyzt_units("mm")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    with open(path, "wb") as file:
        file.write(header.binaryblock + bytes(4))
        for z in range(shape[2]):
            file.write(plane(z).astype(dtype).tobytes())


def camera(n):
    """A smooth object with the noise of a camera."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:n, 0:n] / n - 0.5

    def plane(z):
        light = 800 * np.exp(-8 * (x**2 + y**2 + (z / n - 0.5) ** 2)) + 100
        return (light + random.normal(size=(n, n)) * np.sqrt(light)).clip(0, 65535)

    return plane


def floats(n):
    """The same with NaN around the object."""
    plane, (y, x) = camera(n), np.mgrid[0:n, 0:n] / n - 0.5
    return lambda z: np.where(x**2 + y**2 + (z / n - 0.5) ** 2 < 0.2, plane(z) / 7, np.nan)


def labels(n):
    """Cubes of 20 voxels, each with a label of its own."""
    y, x = np.mgrid[0:n, 0:n] // 20
    return lambda z: (x + 7 * y + 53 * (z // 20)) % 1000


def make_cases(folder):
    """Files to convert, by the name of the case."""
    cases = {}

    def add(name, n, dtype, plane):
        cases[name] = [folder / f"{name}.nii"]
        write_nifti(cases[name][0], (n, n, n), dtype, plane)

    add("uint16-256", 256, "u2", camera(256))
    add("uint16-768", 768, "u2", camera(768))
    add("float32-nan-256", 256, "f4", floats(256))
    add("labels-256", 256, "u2", labels(256))
    cases["gzip-768"] = [folder / "gzip-768.nii.gz"]
    with open(cases["gzip-768"][0], "wb") as file:
        subprocess.run(["gzip", "-1c", cases["uint16-768"][0]], stdout=file, check=True)
    for name in FORMATS:
        cases[name] = [write_format(name, folder, cases["uint16-768"][0])]
    small = folder / "small"
    small.mkdir()
    cases["200-small"] = [small / f"s{number}.nii" for number in range(200)]
    for path in cases["200-small"]:
        write_nifti(path, (96, 96, 64), "i2", camera(96))
    if LARGE:
        add("uint16-1536", 1536, "u2", camera(1536))
    return {name: cases[name] for name in CASES or cases}


def write_format(name, folder, nifti):
    """Write a volume as a stack of TIFF files, as one that is compressed, or as HDF5 in columns."""
    voxels = np.asarray(nibabel.load(nifti).dataobj.get_unscaled()).T
    path = folder / {"bigtiff-768": "big.tif", "hdf5-768": "columns.h5"}.get(name, name)
    if name == "stack-768":
        path.mkdir()
        for z, plane in enumerate(voxels):
            tifffile.imwrite(path / f"z{z}.tif", plane)
    elif name == "bigtiff-768":
        options = {"bigtiff": True, "compression": "zlib", "compressionargs": {"level": 1}}
        tifffile.imwrite(path, voxels, photometric="minisblack", predictor=True, **options)
    else:
        with h5py.File(path, "w") as file:
            options = {"chunks": (len(voxels), 16, 16), "compression": "lzf", "shuffle": True}
            file.create_dataset("volume", data=voxels, **options)
    return path


# Measuring


def run(command, folder, environment=None):
    """Run a command; its wall and CPU time, and the largest size of its process tree."""
    before, start = os.times(), time.perf_counter()
    with open(folder / "output.txt", "w") as output:
        process = psutil.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, tree_size(process))
            time.sleep(0.02)
    wall, after = time.perf_counter() - start, os.times()
    if process.returncode:
        raise RuntimeError(f"{command} failed:\n" + (folder / "output.txt").read_text()[-2000:])
    cpu = after.children_user + after.children_system
    return wall, cpu - before.children_user - before.children_system, peak / 1e6


def tree_size(process):
    size = 0
    try:
        for child in [process, *process.children(recursive=True)]:
            memory = child.memory_info()
            size += memory.rss - memory.shared
    except psutil.Error:
        pass
    return size


def neurozarr(sources, codec, folder, *, synced=True):
    """The whole snakemake command; all files reach the disk, or the system decides when."""
    config = {
        "source": [str(source) for source in sources],
        "zarr": {"compressor_options": CODECS[codec]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--configfile", "config.json", "--cores", str(THREADS)]
    if synced:
        return run(command, folder)
    (folder / "sitecustomize.py").write_text("import os\nos.fsync = lambda descriptor: None\n")
    paths = [str(folder), os.environ.get("PYTHONPATH", "")]
    return run(command, folder, os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))})


LOOP = """
import json, sys, neurozarr
for source in json.load(open("config.json"))["source"]:
    neurozarr.convert(source, "results", threads=int(sys.argv[1]), zarr=json.loads(sys.argv[2]))
"""


def one_process(sources, codec, folder):
    """A loop over the library, in one process: what the workflow adds is the difference."""
    (folder / "config.json").write_text(json.dumps({"source": [str(path) for path in sources]}))
    zarr = json.dumps({"compressor_options": CODECS[codec]})
    return run([sys.executable, "-c", LOOP, str(THREADS), zarr], folder)


def peer(tool, sources, codec, folder):
    """A loop over the files, in one process."""
    command = [str(PEERS), str(HERE / "peers.py"), tool, str(folder), codec]
    return run([*command, *map(str, sources)], folder)


def size_mb(folder):
    """Bytes of all stores in a folder."""
    files = (path for store in folder.rglob("*.zarr") for path in store.rglob("*"))
    return sum(path.stat().st_size for path in set(files) if path.is_file()) / 1e6


def floor(sources, codec):
    """Time to encode the voxels of level 0, from memory, in chunks of 128 and as many threads."""
    settings = CODECS["zstd5"] | CODECS[codec]
    encoder = numcodecs.Blosc(settings["cname"], settings["clevel"], numcodecs.Blosc.SHUFFLE)
    numcodecs.blosc.use_threads = False
    total = 0.0
    for source in sources:
        voxels = np.asarray(nibabel.load(source).dataobj.get_unscaled()).T
        starts = [range(0, length, 128) for length in voxels.shape]
        boxes = [
            np.ascontiguousarray(voxels[z : z + 128, y : y + 128, x : x + 128])
            for z in starts[0]
            for y in starts[1]
            for x in starts[2]
        ]
        start = time.perf_counter()
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(encoder.encode, boxes))
        total += time.perf_counter() - start
    return total


def decode(path):
    """Time to read a source once, by its library, in as many threads."""

    def page(number):
        with tifffile.TiffFile(path) as file:
            file.pages[number].asarray(maxworkers=1)

    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        if path.is_dir():
            list(pool.map(lambda file: tifffile.imread(file).max(), path.iterdir()))
        elif path.suffix == ".tif":
            list(pool.map(page, range(768)))
        else:
            with h5py.File(path) as file:
                list(pool.map(lambda y: file["volume"][:, y : y + 16], range(0, 768, 16)))
    return time.perf_counter() - start


def measure(folder):
    """Every case by every tool, the tools in turn."""
    found, floors = [], {}
    for case, sources in make_cases(folder).items():
        for codec in CODECS:
            read = min(decode(sources[0]) for _ in range(REPEAT)) if case in FORMATS else 0
            nifti = [folder / "uint16-768.nii"] if case in FORMATS else sources
            floors[case, codec] = read + min(floor(nifti, codec) for _ in range(REPEAT))
            if case in FORMATS:
                print(f"{case}: decoded in {read:.1f} s")
            tools = ["neurozarr", UNSYNCED, ONE_PROCESS] + [
                tool
                for tool in TOOLS
                if case not in FORMATS
                and not (case == "200-small" and tool not in ("nii2zarr", "ngff-zarr"))
                and not (case == "uint16-1536" and tool == "nii2zarr")
            ]
            best = {}
            for _ in range(REPEAT):
                for tool in tools:
                    work = folder / "work"
                    shutil.rmtree(work, ignore_errors=True)
                    work.mkdir()
                    if tool in ("neurozarr", UNSYNCED):
                        measured = neurozarr(sources, codec, work, synced=tool != UNSYNCED)
                    elif tool == ONE_PROCESS:
                        measured = one_process(sources, codec, work)
                    else:
                        measured = peer(tool, sources, codec, work)
                    result = Measure(case, codec, tool, *measured, size_mb(work))
                    print(asdict(result), flush=True)
                    if tool not in best or result.wall < best[tool].wall:
                        best[tool] = result
            found += best.values()
    return found, floors


# Reporting


def table(found, floors):
    """A row for each tool, in Markdown."""
    lines = [
        "| case | codec | tool | wall s | CPU s | peak MB | MB stored | / fastest peer | / floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        rivals = [r.wall for r in found if (r.case, r.codec) == (row.case, row.codec)]
        peers = [
            r.wall
            for r in found
            if (r.case, r.codec) == (row.case, row.codec)
            and r.tool not in ("neurozarr", UNSYNCED, ONE_PROCESS)
        ]
        fastest = min(peers or rivals)
        lines.append(
            f"| {row.case} | {row.codec} | {row.tool} | {row.wall:.1f} | {row.cpu:.1f} | "
            f"{row.peak_mb:.0f} | {row.size_mb:.0f} | {row.wall / fastest:.2f} | "
            f"{row.wall / floors[row.case, row.codec]:.1f} |"
        )
    return "\n".join(lines) + "\n"


def plot(found, path):
    """Wall time against the size of the volume, for the codec that all tools share."""
    script = f"""
import json, matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
found = json.loads({json.dumps(json.dumps([asdict(row) for row in found]))})
figure, axes = plt.subplots(figsize=(6, 4))
for tool in dict.fromkeys(row["tool"] for row in found):
    rows = [r for r in found if r["tool"] == tool and r["codec"] == "zstd5"]
    rows = [r for r in rows if r["case"].startswith("uint16")]
    sizes = [int(r["case"].split("-")[1]) ** 3 * 2 / 1e6 for r in rows]
    axes.loglog(sizes, [r["wall"] for r in rows], "o-", label=tool)
axes.set(xlabel="volume, MB", ylabel="wall time, s")
axes.grid(True, which="both", alpha=0.3)
axes.legend()
figure.tight_layout()
figure.savefig({json.dumps(str(path))}, dpi=120)
"""
    subprocess.run([str(PEERS), "-c", script], check=True)


def main():
    """Measure, print and save."""
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as folder:
        found, floors = measure(Path(folder))
    (results / "table.md").write_text(table(found, floors))
    (results / "measures.json").write_text(json.dumps([asdict(row) for row in found], indent=1))
    plot(found, results / "time.png")
    print((results / "table.md").read_text())


if __name__ == "__main__":
    main()
