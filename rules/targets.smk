# Input functions of the targets.

from importlib.util import find_spec

from neurozarr.sources.extras import install_command

# What the jobs that make pages need, and others do not.
PAGE_PACKAGES = ("jinja2", "matplotlib", "PIL")


def all_stores(wildcards):
    """All that a complete run makes."""
    return [
        *waited_for(),
        *all_bundles(wildcards),
        *all_images(wildcards),
        *all_arrays(wildcards),
        *all_verify_receipts(wildcards),
        *all_sidecars(wildcards),
        *all_descriptions(wildcards),
    ]


def all_images(wildcards):
    return [file for name in large_samples() for file in files(marks(RUN.paths(name)))]


def marks(paths):
    """The files that say that an image is published: of an image of others, a receipt."""
    return [paths.ome_receipt] if paths.place else [*paths.group, *paths.header]


def all_verify_receipts(wildcards):
    if RUN.verify == "none":
        return []
    return files(RUN.paths(name).verify_receipt for name in large_samples())


def all_sidecars(wildcards):
    """Records of the files beside large stores."""
    return files(
        RUN.paths(name).sidecar_receipt
        for name in large_samples()
        if planned(name).sidecars or RUN.paths(name).sidecar_receipt.exists()
    )


def all_descriptions(wildcards):
    """Records of the files at the top of BIDS derivatives; exit if others wrote one of them."""
    derivatives = {folder: RUN.derivative(folder) for folder in RUN.datasets}
    for folder, paths in derivatives.items():
        texts = description.texts(RUN.datasets[folder], paths.top)
        try:
            sidecars.check(paths, texts)
        except NeurozarrError as error:
            sys.exit(f"neurozarr: {error}")
        if sidecars.outdated(paths, texts):
            workflow.dag.forcefiles.add(str(paths.sidecar_receipt))
    return files(paths.sidecar_receipt for paths in derivatives.values())


def all_arrays(wildcards):
    return [
        str(place.job_output(place.document))
        for name in large_samples()
        for place in RUN.paths(name).levels(planned(name).blocks)
        if not (place.made_with or place.given)
    ]


def all_verified(wildcards):
    """Receipts of the verification of all stores, for the target `verify`."""
    if RUN.verify == "none":
        sys.exit("neurozarr: verify is none: set it to quick or full")
    # Stores that were verified before are verified again, without --forcerun.
    workflow.dag.forcerules.update(rules_of("verify_store"))
    # Others that are run may ask for the verification of a small sample, which must come first.
    alone = IS_MAIN or len(workflow.dag_settings.targets) == 1
    names = large_samples() if alone else known_samples()
    receipts = files(RUN.paths(name).verify_receipt for name in names)
    waits = waited_for(lambda name: True)
    return [*waits, *all_bundles(wildcards), *receipts]


def all_reports(wildcards):
    """The pages of all samples, and the bundles that make some of them."""
    # The job that makes the list of all pages only looks what there is.
    if not workflow.is_main_process:
        return []
    if missing := [name for name in PAGE_PACKAGES if find_spec(name) is None]:
        sys.exit(
            f"neurozarr: report needs {missing[0]}, which is not installed: "
            f"{install_command('report')}"
        )
    all_planned()
    paths = RUN.paths("")
    names = known_samples()
    for name in names:
        check_page(name)
    try:
        page_records.check(paths.index_receipt, paths.index)
    except NeurozarrError as error:
        sys.exit(f"neurozarr: {error}")
    if paths.index.exists() and not page_records.is_current_index(paths, SAMPLES):
        workflow.dag.forcefiles.add(INDEX)
    together = bundled() if wants_reports() else {}
    pages = files(RUN.paths(name).page for name in names if name not in together)
    waits = waited_for(lambda name: not is_reported(name))
    bundle_names = [bundle.name for bundle in by_bundle()]
    return [*waits, *expand(BUNDLE, bundle=bundle_names), *pages]


def all_exports(wildcards):
    if not RUN.nii:
        sys.exit(
            "neurozarr: export needs stores with a NIfTI header: set nifti: {nii: true}"
        )
    readable = all_planned()
    if readable and all(sample.existing for sample in readable):
        sys.exit(
            "neurozarr: export needs stores with a NIfTI header, which in_place does not add: run "
            "without in_place"
        )
    exports = [
        str(RUN.paths(sample.name).export(level))
        for sample in readable
        if not sample.existing  # It has no NIfTI header.
        for level in sample.export_levels
    ]
    # The job that says why the others cannot be read.
    wrong = [bundled()[name].name for name in known_samples() if unreadable(name)]
    waits = waited_for(
        lambda name: not made.is_exported(SAMPLES[name], RUN.paths(name))
    )
    return [*waits, *exports, *expand(BUNDLE, bundle=dict.fromkeys(wrong))]
