"""The command ``neurozarr``, as ``python -m neurozarr``."""

from neurozarr.commands import main

main()
