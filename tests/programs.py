"""Programs that go on while a test looks at them."""

import subprocess
from typing import Any

#: Seconds after which a program, a server or a page is taken for hanging. It only guards: no test
#: may depend on how fast a machine is. A whole test is ended after more (pyproject.toml).
PATIENCE = 200


class Program(subprocess.Popen):
    """A program that is killed at the end of its block, if it has not ended by then.

    Without that, a test that fails inside the block would wait for it for ever.
    """

    def __exit__(self, *error: Any) -> None:
        self.kill()
        super().__exit__(*error)
