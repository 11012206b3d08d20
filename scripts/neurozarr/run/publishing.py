"""Publishing images and labels, and listing the labels of an image.

An image is published once the metadata of its group exist. A label is then listed, too, in the
group "labels" of the image that it is of; it is unlisted before it is unpublished, so that the list
names only complete labels. The list is made of the labels that are published, in alphabetical
order, and does not depend on the order in which they were: jobs that change it take turns.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from neurozarr.durable import sync
from neurozarr.ome.reading import members_of, metadata_of
from neurozarr.run import extending, ownership
from neurozarr.run.locks import locked
from neurozarr.run.paths import StorePaths
from neurozarr.zarr.documents import (
    GROUP_FILES,
    HEADER,
    LABELS,
    Document,
    group_documents,
    read_record,
    write_json,
)

logger = logging.getLogger(__name__)


def publish(paths: StorePaths, documents: Mapping[str, Document]) -> None:
    """Publish an image by writing the metadata of its group; list it if it is a label.

    Parameters
    ----------
    paths
        Paths of the store.
    documents
        Documents by file name, in the order in which they are written.
    """
    ownership.record(paths, "", documents.values(), only=True)
    for name, document in documents.items():
        write_json(paths.store / name, document)
    if paths.label:
        with locked(_lock(paths)):
            _write_list(paths, _published(paths))
    logger.info("%s: published", paths.store)


def unpublish(paths: StorePaths) -> None:
    """Delete the metadata of the group, then the NIfTI header, so that readers find no image.

    The receipt of its verification is deleted, too. A label is unlisted first. From the metadata of
    an image of others, only the levels that were added are taken out.

    Raises
    ------
    OwnershipError
        The workflow did not write one of these files; nothing is deleted.
    """
    if paths.place is not None:
        for receipt in (paths.verify_receipt, paths.ome_receipt):
            receipt.unlink(missing_ok=True)
        extending.withdraw(paths)
        return
    ownership.check_documents(paths)
    paths.verify_receipt.unlink(missing_ok=True)
    names = sorted({name for names in GROUP_FILES.values() for name in names}, reverse=True)
    with _unlisted(paths):
        for name in names:
            (paths.store / name).unlink(missing_ok=True)
    ownership.remove(paths, HEADER)
    if paths.store.exists():
        sync(paths.store)


def list_problem(paths: StorePaths) -> str | None:
    """What is wrong with the list of labels, as far as a published label is concerned."""
    listed = _listed(paths)
    if paths.store.name not in listed:
        return "the list of labels does not name it"
    published = _published(paths)
    missing = [name for name in listed if name not in published]
    # Others may have been unlisted and unpublished meanwhile.
    missing = [name for name in _listed(paths) if name in missing]
    return f"the list of labels names {missing[0]}, which is not there" if missing else None


@contextmanager
def _unlisted(paths: StorePaths) -> Iterator[None]:
    """Take a label, if it is one, out of the list of its image; others change it only afterwards.

    Nothing happens if it is neither listed nor published.
    """
    is_there = paths.label and (paths.group[0].exists() or paths.store.name in _listed(paths))
    if not is_there:
        yield
        return
    with locked(_lock(paths)):
        _write_list(paths, [name for name in _published(paths) if name != paths.store.name])
        yield


def _lock(paths: StorePaths) -> Path:
    """The lock of the list of an image's labels."""
    return paths.image.state / "labels.lock"


def _published(paths: StorePaths) -> list[str]:
    """Names of the labels that the workflow published beneath an image."""
    labels, state = paths.image.store / LABELS, paths.image.state / LABELS
    return sorted(
        file.parent.name
        for file in labels.glob(f"*/{paths.group[0].name}")
        if ownership.has_label(state, file.parent.name)
    )


def _listed(paths: StorePaths) -> list[str]:
    document = read_record(paths.label_list[-1]) or {}
    return list(members_of(document.get("attributes", document)) or ())


def _write_list(paths: StorePaths, names: Collection[str]) -> None:
    """Write the list of an image's labels; delete it if there are none."""
    folder, image = paths.image.store / LABELS, paths.image
    if not names:
        for file in paths.label_list:
            file.unlink(missing_ok=True)
        if folder.exists():
            sync(folder)
        return
    # The version is that of the labels, which 0.4 does not give to the list.
    last = paths.group[-1].name
    files = [*(folder / name / last for name in names), folder / last]
    found = [read_record(file) or {} for file in files]
    metadata = [metadata_of(document.get("attributes", document)) for document in found]
    version = next((known["version"] for known in metadata if "version" in known), None)
    listed: Document = {"labels": list(names)}
    attributes = {"ome": {"version": version} | listed} if version else listed
    documents = group_documents(paths.zarr_version, attributes)
    if all(read_record(folder / name) == document for name, document in documents.items()):
        return
    ownership.record(image, LABELS, documents.values(), only=True)
    for name, document in documents.items():
        write_json(folder / name, document)
