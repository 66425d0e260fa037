"""Run the official scorer's evaluate.py on current NumPy and SciPy: scorer_runner.py PROGRAM INPUT OUTPUT.

The scorer dates from 2017 and NumPy 1.12. Its program is copied to a temporary folder and patched there. The patches
change no figure: removed names, lists of slices as an index, None compared with an array. The checkout is not changed.
This file runs in the scorer's own environment and imports nothing of ours.
"""

import re
import runpy
import sys
import tempfile
import warnings
from pathlib import Path

PATCHES = (
    (r"\bnp\.bool\b", "bool"),
    (r"\bscipy\.array\(", "__import__('numpy').array("),
    (r"\[(\w+_slices)\]", r"[tuple(\1)]"),
    (r"None == (self\.\w+)", r"\1 is None"),
)


def main() -> None:
    program, *arguments = sys.argv[1:]
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for path in Path(program).rglob("*.py"):
            text = path.read_text()
            for pattern, replacement in PATCHES:
                text = re.sub(pattern, replacement, text)
            copy = Path(folder) / path.relative_to(program)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        sys.path.insert(0, folder)
        sys.argv = ["evaluate.py", *arguments]
        runpy.run_path(str(Path(folder) / "evaluate.py"), run_name="__main__")


if __name__ == "__main__":
    main()
