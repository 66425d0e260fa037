"""python scorer_runner.py PROGRAM INPUT OUTPUT: runs the official scorer's evaluate.py on today's NumPy and SciPy.

It is of 2017 and written for NumPy 1.12. A copy of its program is mended in a temporary folder before it runs. No
figure depends on what is mended: names that are gone, lists of slices as an index, None compared with an array. The
checkout is not touched. This file is run by the scorer's own Python and imports nothing of ours.
"""

import re
import runpy
import sys
import tempfile
import warnings
from pathlib import Path

MENDED = (
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
            for pattern, replacement in MENDED:
                text = re.sub(pattern, replacement, text)
            copy = Path(folder) / path.relative_to(program)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(text)
        sys.path.insert(0, folder)
        sys.argv = ["evaluate.py", *arguments]
        runpy.run_path(str(Path(folder) / "evaluate.py"), run_name="__main__")


if __name__ == "__main__":
    main()
