"""nibabel, without pydicom.

Where pydicom is installed, nibabel imports it, for DICOM extensions of NIfTI headers, which are
bytes to neurozarr: that takes as long as the rest of nibabel, in every job.
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
