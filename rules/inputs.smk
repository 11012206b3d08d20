# Input functions of the rules.


def files(paths):
    return [str(path) for path in paths]


def base_receipt(wildcards):
    """Receipt of the array of level 0, which is created before the other levels.

    Exit if a bundle converts the sample at the same time, because of a rule of others that has such
    a file as input.
    """
    name = name_of(wildcards)
    if workflow.is_main_process and is_bundled(name) and name in bundled():
        sys.exit(
            f"neurozarr: sample {name} is converted together with others: rules that read it need "
            f"{RUN.paths(name).verify_receipt} as input, not files of the store"
        )
    return [] if wildcards.level == "0" else str(BASE.array_receipt)


def own_array(wildcards):
    """The array of a level and its receipt; none for coarse levels, whose job creates them."""
    place = each_level(wildcards)[int(wildcards.level)]
    return [] if place.made_with else files([place.document, place.array_receipt])


def parent_level(wildcards):
    return paths_of(wildcards).level(numbers(wildcards)[0] - 1)


def parent_array(wildcards):
    """The array of the parent level."""
    return str(parent_level(wildcards).document)


def parent_blocks(wildcards):
    """Receipts of the blocks of the parent level from which a block is made."""
    blocks = sample(wildcards).parents(numbers(wildcards)[0], int(wildcards.block))
    return files(map(parent_level(wildcards).block_receipt, blocks))


def each_level(wildcards):
    """Paths of all levels of a sample, finest first."""
    return paths_of(wildcards).levels(sample(wildcards).blocks)


def each_array(wildcards):
    """The arrays with jobs of their own."""
    return files(
        place.document for place in each_level(wildcards) if not place.made_with
    )


def each_array_receipt(wildcards):
    return files(
        place.array_receipt for place in each_level(wildcards) if not place.made_with
    )


def each_block_receipt(wildcards):
    """Receipts of all blocks of all levels; one for all coarse levels."""
    places = zip(each_level(wildcards), sample(wildcards).blocks)
    return list(
        dict.fromkeys(
            str(place.job_output(receipt))
            for place, count in places
            for receipt in place.block_receipts(count)
        )
    )


def store_to_verify(wildcards):
    """Files that a verification needs: all of the store, or the bundle that makes them.

    Of a sample that is bundled, but converted, no other step is planned.
    """
    name, paths = name_of(wildcards), paths_of(wildcards)
    if is_bundled(name):
        # Its own process, on a cluster, does not know which bundles there are.
        if not (workflow.is_main_process and name in bundled()):
            return []
        return expand(BUNDLE, bundle=bundled()[name].name)
    if paths.place:
        return [str(paths.ome_receipt)]
    receipts = [paths.ome_receipt, *([paths.header_receipt] if RUN.nii else [])]
    return [
        *each_array(wildcards),
        *each_array_receipt(wildcards),
        *each_block_receipt(wildcards),
        *files([*paths.group, *paths.header, *receipts]),
    ]


def store_to_report(wildcards):
    """Files that a page needs; exit if it would overwrite a file of others."""
    name, paths = name_of(wildcards), paths_of(wildcards)
    if not is_there(name) and not paths.page.exists():
        waited_for(lambda waiting: waiting == name)
    unreadable(name)
    check_page(name)
    if is_bundled(name):
        return store_to_verify(wildcards)
    if RUN.verify != "none":
        return files([paths.verify_receipt])
    if paths.place:
        return files([paths.ome_receipt])
    return files([*paths.group, *paths.header, paths.ome_receipt])


def check_page(name):
    """Exit if the page of a sample would overwrite a file of others; tell if it is out of date."""
    paths = RUN.paths(name)
    try:
        page_records.check_name(paths.sample)
        page_records.check(paths.page_receipt, paths.page, paths.thumbnail)
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {name}: {error}")
    if workflow.is_main_process and paths.page.exists() and not is_reported(name):
        workflow.dag.forcefiles.add(str(paths.page))


def level_to_export(wildcards):
    """Files that an export needs; exit if the export would overwrite a file."""
    name, paths, number = name_of(wildcards), paths_of(wildcards), int(wildcards.level)
    if not is_there(name) and not paths.export(number).exists():
        waited_for(lambda waiting: waiting == name)
    unreadable(name)
    try:
        ownership.check_file(paths.export_receipt(number), paths.export(number))
    except NeurozarrError as error:
        sys.exit(f"neurozarr: sample {name}: {error}")
    if name in bundled():
        return expand(BUNDLE, bundle=bundled()[name].name)
    numbers(wildcards)  # Exits if there is no such level.
    place = each_level(wildcards)[number]
    if place.made_with:
        return files([*paths.header, place.made_with])
    receipts = place.block_receipts(sample(wildcards).blocks[number])
    return files([*paths.header, place.document, *receipts])


def added_array(wildcards):
    """Receipt of the array of a level; none for coarse levels, whose job creates them."""
    place = each_level(wildcards)[int(wildcards.level)]
    return [] if place.made_with else str(place.array_receipt)


def added_parent(wildcards):
    """Receipts of the parent level of a block; none if it is a level that the image had before."""
    place = parent_level(wildcards)
    if place.given:
        return []
    return files([place.array_receipt, *parent_blocks(wildcards)])


def added_levels(wildcards):
    """Receipts of all added levels."""
    arrays = files(
        place.array_receipt
        for place in each_level(wildcards)
        if not (place.given or place.made_with)
    )
    return [*arrays, *each_block_receipt(wildcards)]
