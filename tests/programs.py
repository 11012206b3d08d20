"""Programs that go on while a test looks at them."""

import subprocess
from typing import Any

#: Seconds after which a program, a server or a page is taken to hang. This is only a safeguard: no
#: test may depend on the speed of a machine. It is less than the limit of a test (pyproject.toml).
PATIENCE = 200


class Program(subprocess.Popen):
    """A program that is killed at the end of its block, if it has not ended by then.

    Without that, a test that fails inside the block would wait for it for ever.
    """

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)
