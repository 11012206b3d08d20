"""Importing nibabel without pydicom, which halves the time of the import in every job.

nibabel imports pydicom, if it is installed, to parse DICOM extensions of NIfTI headers. neurozarr
only copies the bytes of these extensions.
"""

from __future__ import annotations

import sys

if "nibabel" in sys.modules or "pydicom" in sys.modules:
    import nibabel
else:
    sys.modules["pydicom"] = None  # type: ignore[assignment]
    try:
        import nibabel
    finally:
        del sys.modules["pydicom"]

__all__ = ["nibabel"]
