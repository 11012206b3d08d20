"""Messages of errors."""

import pytest

from neurozarr.errors import reason

CODE = (
    "[source locations='tensorstore/kvstore/file/file_key_value_store.cc:447'] [tensorstore_spec="
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            'RESOURCE_EXHAUSTED: Error writing local file "/o/a.zarr/0/c/1": Failed writing: '
            '"/o/a.zarr/0/c/1.__lock": Failed to write 12304 bytes to file 3: No space left on '
            f"device [os_error_code='28'] {CODE}'{{}}']",
            "/o/a.zarr/0/c/1: No space left on device",
        ),
        (f"NOT_FOUND: No such array {CODE}'a\nb']", "NOT_FOUND: No such array"),
        ("[Errno 28] No space left on device", "[Errno 28] No space left on device"),
    ],
)
def test_reason_keeps_file_and_cause_of_tensorstore_errors(said, kept):
    assert reason(ValueError(said)) == kept
