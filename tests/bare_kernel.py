"""A kernel with nothing but what a Colab runtime has: `bare_kernel.py REFUSED WORK ...`.

REFUSED is a file of names that cannot be imported, a JSON list. The kernel works in an empty folder
of its own, made in WORK, and a cell that leaves a file there fails. The rest is for ipykernel.
`bare_runtime.py` makes the kernelspec that calls this.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

from ipykernel.kernelapp import IPKernelApp


def main(refused, work, *arguments):
    # Python's own way to say that there is no such module; find_spec gives None, too.
    sys.modules.update(dict.fromkeys(json.loads(Path(refused).read_text(encoding="utf-8"))))
    os.chdir(tempfile.mkdtemp(dir=work))
    app = IPKernelApp.instance()
    app.initialize(list(arguments))

    def complain_of_files(result):
        if left := os.listdir():
            try:
                raise AssertionError(f"left lying about: {', '.join(sorted(left))}")
            except AssertionError:  # shown as if the cell had raised it
                app.shell.showtraceback()

    app.shell.events.register("post_run_cell", complain_of_files)
    app.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
