"""Figures that PatrickChrist/lits-challenge-scoring printed for the sets of experiments/speed/scoring/masks.py.

Branch miccai (b9d13be); master (090307d) prints the same, but fails on "healthy". Regenerate them with
`make bench WHAT=scoring SCORER=FOLDER`.
"""

_NAMES = (
    *(f"lesion/{name}" for name in ("precision_50", "recall_50", "precision_0", "recall_0")),
    *(f"lesion/{name}" for name in ("dice", "jaccard", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm")),
    *(f"tumour/{name}" for name in ("dice_per_case", "dice_global")),
    *(f"liver/{name}" for name in ("dice_per_case", "jaccard", "voe", "rvd", "assd_mm", "rmsd_mm", "mssd_mm")),
    *("liver/dice_global", "burden/rmse", "burden/maximum"),
)

_PRINTED = {
    "plain": (
        "0.400 0.500 0.600 0.750 "
        "0.881 0.798 0.202 0.038 0.181 0.432 1.500 "
        "0.752 0.888 "
        "0.900 0.820 0.180 0.159 0.775 1.256 2.663 0.900 "
        "0.011 -0.008"
    ),
    "bridge": (
        "-2.000 -0.667 1.000 0.333 "
        "0.000 0.000 1.000 9001.000 9001.000 9001.000 9001.000 "
        "0.353 0.353 "
        "1.000 1.000 0.000 0.000 0.000 0.000 0.000 1.000 "
        "0.020 -0.020"
    ),
    "bridge and plain": (
        "-0.250 -0.167 0.750 0.500 "
        "0.800 0.667 0.333 0.000 0.238 0.422 0.750 "
        "0.447 0.486 "
        "0.937 0.889 0.111 0.080 0.434 0.642 1.358 0.940 "
        "0.015 -0.008"
    ),
    "scattered": (
        "0.033 0.036 0.300 0.321 "
        "0.346 0.212 0.788 -0.626 1.053 1.412 2.773 "
        "0.108 0.108 "
        "1.000 1.000 0.000 0.000 0.000 0.000 0.000 1.000 "
        "0.005 0.009"
    ),
    "a liver of tumour": (
        "0.500 0.333 0.750 0.500 "
        "0.900 0.833 0.167 0.000 0.119 0.211 0.375 "
        "0.654 0.641 "
        "0.437 0.389 0.611 4500.580 4500.934 4501.142 4501.858 0.569 "
        "6364.642 -0.008"
    ),
    "nothing found": (
        "0.000 0.000 0.000 0.000 "
        "0.000 0.000 1.000 9001.000 9001.000 9001.000 9001.000 "
        "0.000 0.000 "
        "1.000 1.000 0.000 0.000 0.000 0.000 0.000 1.000 "
        "0.034 0.034"
    ),
    "healthy": (
        "0.250 0.333 0.500 0.667 "
        "0.800 0.667 0.333 0.000 0.238 0.422 0.750 "
        "0.271 0.522 "
        "0.923 0.861 0.139 0.109 0.487 0.783 1.733 0.924 "
        "0.006 -0.003"
    ),
}

PRINTED = {name: dict(zip(_NAMES, text.split(), strict=True)) for name, text in _PRINTED.items()}
