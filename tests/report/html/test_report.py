"""report.html as text: its content, its words on missing files, and that it is self-contained."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from lightning_liver.errors import LiverError
from lightning_liver.report.html.blocks import Section, Table, Text
from lightning_liver.report.html.calibration import calibration_section
from lightning_liver.report.html.cases import cases_section
from lightning_liver.report.html.curves import curves_section
from lightning_liver.report.html.data import data_section
from lightning_liver.report.html.decisions import decision_section
from lightning_liver.report.html.lesions import lesions_section
from lightning_liver.report.html.literature import caveat, verdict
from lightning_liver.report.html.report import page as page_of
from lightning_liver.report.html.report import write_report
from lightning_liver.report.html.results import results_section
from lightning_liver.report.html.setup import configuration_section, reproduction_section
from lightning_liver.runs.contents import Contents, read_contents

MOST_BYTES = 1_000_000


class Read(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, *names: str) -> list[str]:
        return [each[name] or "" for _, each in self.tags for name in names if name in each]


@pytest.fixture(scope="module")
def page(whole_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = shutil.copytree(whole_run, tmp_path_factory.mktemp("copy") / "focal")
    return Read(write_report(Path(folder)))


def test_page_shows_everything_in_a_run(page: Read) -> None:
    for words in (
        "Liver overlapping the published range, tumour below it",
        "95 % interval 0.938 to 0.951",
        "not comparable",
        "26 scans of 26 patients",
        "Hausdorff distance, 95 % (HD95), mm",
        "Best, case 5: liver Dice 0.968, tumour Dice 0.848",
        "Worst, case 23",
        "39 of 50 tumours were detected",
        "Of 46 predicted tumours, 7 overlap no true one",
        "Expected calibration error: liver 0.0431, tumour 0.0428",
        "tumour: 0.5 (best on validation 0.21)",
        "Mean validation Dice was best after epoch 7, 0.750",
        "8 epochs, 160 steps in 65 min",
        "lits; no patient is in two parts",
        "What differs from the defaults",
        "python train.py data=lits loss=focal loss.gamma=3.5",
        "2.13.0",
        "unet_small (1.9 M parameters)",
    ):
        assert words in page.text, words


def test_page_loads_nothing(page: Read) -> None:
    links = page.attributes("src", "href", "xlink:href", "srcset", "action", "data")
    assert links
    assert not [link for link in links if not link.startswith(("#", "data:image/webp;base64,", "data:,"))]
    css = "".join(page.attributes("style")) + page.text
    assert not re.search(r"@import|url\((?!#|data:)", css)
    assert any("default-src 'none'" in policy for policy in page.attributes("content"))


def test_ids_are_unique_and_every_link_has_a_target(page: Read) -> None:
    names = page.attributes("id")
    assert len(names) == len(set(names))
    assert {link[1:] for link in page.attributes("href", "xlink:href") if link.startswith("#")} <= set(names)


def test_pictures_and_drawings_have_descriptions(page: Read) -> None:
    pictures = [each for tag, each in page.tags if tag == "img"]
    assert len(pictures) == 9  # of three cases contours, errors, and the CT alone
    assert all("case" in str(each["alt"]) and "Dice of the case" in str(each["alt"]) for each in pictures)
    drawings = [each for tag, each in page.tags if tag == "svg"]
    assert len(drawings) == 10
    assert all(each["role"] == "img" and len(str(each["aria-label"])) > 20 for each in drawings)


def test_tables_have_captions_and_scoped_headings(page: Read) -> None:
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 10
    assert all(each.get("scope") in ("col", "row") for tag, each in page.tags if tag == "th")


def test_headings_go_down_by_one(page: Read) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.slow
def test_equal_runs_make_equal_and_small_reports(run: Path) -> None:
    first = write_report(run).read_bytes()
    assert len(first) < MOST_BYTES
    assert first == write_report(run).read_bytes()


@pytest.mark.parametrize(
    ("gone", "section", "words"),
    [
        ("cases.csv", results_section, "This run has no test cases"),
        ("lesions.csv", lesions_section, "has no lesions.csv"),
        ("calibration.csv", calibration_section, "has no calibration.csv"),
        ("decision.json", decision_section, "no threshold was tuned"),
        ("data.csv", data_section, "only the names of the cases are known"),
        (
            "differs.json",
            configuration_section,
            "from the defaults were not saved; the command line had",
        ),
        ("environment.json", reproduction_section, "has no record of its environment"),
        ("tensorboard", curves_section, "has no logged curves"),
        ("pictures", cases_section, "has no pictures of test cases"),
        (".hydra", reproduction_section, "not started by a command"),
        ("metrics.json", curves_section, "best after epoch 7"),
        ("timing.json", curves_section, "8 epochs, 160 steps."),
    ],
)
def test_missing_files_are_named(run: Path, gone: str, section: Callable[[Contents], Section], words: str) -> None:
    path = run / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    blocks = section(read_contents(run)).blocks
    assert words in " ".join(block.text for block in blocks if isinstance(block, Text))


def test_a_run_with_only_a_config_has_a_report(run: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run / ".hydra", bare / ".hydra")
    text = Read(write_report(bare)).text
    assert "Trained, but not tested" in text
    assert "has no split.json" in text


def test_a_run_without_test_cases_has_a_report(run: Path) -> None:
    (run / "cases.csv").write_text("\n")  # as csv.DictWriter leaves it
    assert "This run has no test cases" in Read(write_report(run)).text


def test_cases_of_an_earlier_version_are_shown_with_their_columns(run: Path) -> None:
    lines = (run / "cases.csv").read_text().splitlines()
    (run / "cases.csv").write_text("\n".join(",".join(line.split(",")[:4]) for line in lines) + "\n")
    (table,) = [block for block in results_section(read_contents(run)).blocks if isinstance(block, Table)]
    assert [[cell.text for cell in row] for row in table.rows] == [["Dice", "0.944", "0.556"]]


@pytest.mark.parametrize("name", ["cases.csv", "lesions.csv", "calibration.csv", "data.csv"])
def test_a_table_of_other_columns_is_named(run: Path, name: str) -> None:
    (run / name).write_text("colour\nred\n")
    with pytest.raises(LiverError, match=rf"{name}, line 1: damaged .*no column"):
        write_report(run)


@pytest.mark.parametrize(
    "name", ["decision.json", "metrics.json", "split.json", "environment.json", "differs.json", ".hydra/config.yaml"]
)
def test_a_damaged_file_is_named(run: Path, name: str) -> None:
    (run / name).write_text("{'")
    with pytest.raises(LiverError, match=Path(name).name):
        write_report(run)


@pytest.mark.parametrize("part", ["runtime", "job", "overrides", "runtime: {choices", "runtime: {config_sources"])
def test_hydras_own_config_with_other_values_is_named(run: Path, part: str) -> None:
    (run / ".hydra" / "hydra.yaml").write_text(f"hydra:\n  {part}: 1{'}' * part.count('{')}\n")
    with pytest.raises(LiverError, match=r"hydra\.yaml: damaged"):
        read_contents(run)


def test_values_that_no_run_writes_are_refused(run: Path) -> None:
    (run / "metrics.json").write_text('{"epochs": "many", "test/liver/dice_per_case": "high"}')
    with pytest.raises(LiverError, match=r"other values than a run writes|damaged"):
        write_report(run)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LiverError, match="not a run folder"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_names_are_escaped(run: Path) -> None:
    text = (run / "cases.csv").read_text()
    (run / "cases.csv").write_text(text.replace("patient-3,", "<script>alert(1)</script>,"))
    written = write_report(run).read_text()
    assert "<script>alert" not in written
    assert "&lt;script&gt;alert(1)" in written


def test_phantoms_are_not_compared_with_published_results(run: Path) -> None:
    config = run / ".hydra" / "config.yaml"
    config.write_text(config.read_text().replace("data.sources.lits", "data.phantom.phantoms"))
    contents = read_contents(run)
    assert verdict(contents) == "On phantoms: liver Dice 0.94, tumour Dice 0.56"
    assert "not how well it does on scans" in caveat(contents)


def test_a_run_that_is_ending_passes_its_own_metrics(run: Path) -> None:
    (run / "metrics.json").unlink()
    assert read_contents(run, {"test/burden/rmse": 0.01234}).metrics == {"test/burden/rmse": 0.01234}
    assert read_contents(run).metrics == {}


def test_every_warning_stands_in_the_report(whole_run: Path) -> None:
    contents = read_contents(whole_run)
    text = page_of(replace(contents, warnings=["scans 0-1 count as <one> patient each"]))
    assert "scans 0-1 count as &lt;one&gt; patient each" in text
    assert "warnings-title" in text
    assert "warnings-title" not in page_of(contents)
