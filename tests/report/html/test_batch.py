"""The report of predicted scans."""

import re
from pathlib import Path

from lightning_liver.report.html.batch import write_batch_report

SCAN = {"case": "a", "status": "predicted", "liver_ml": "1500.0", "tumour_count": "1", "remarks": "", "model": "run"}
LESION = {"lesion": "1", "slice_index": "7", "x_ras_mm": "1.5", "volume_ml": "2.25"}


def test_slices_of_tumours_count_from_1_as_in_viewers(tmp_path: Path) -> None:
    page = write_batch_report(tmp_path, {"a": SCAN}, {"a": [LESION, LESION | {"slice_index": ""}]}).read_text()
    table = page.partition("Places and sizes of tumours")[2].partition("</table>")[0]
    first, second = re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]
    assert re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", first, re.S)[:2] == ["1", "8"]
    assert re.findall(r"<td[^>]*>\s*(.*?)\s*</td>", second, re.S)[:2] == ["1", "-"]
