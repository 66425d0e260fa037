"""The command that draws what augmentation makes of a slice."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

import lightning_liver.commands.augment_preview
from lightning_liver.config import folder
from tests.apps.commands import call, run
from tests.report.test_contact_sheet import said

PHANTOMS = ("data.matrix=64", "data.cases=3", "data.workers=0", "draws=2")
SHEET = Path("outputs") / "augment-preview" / "sheet.png"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures instead of files."""
    figures: list[Figure] = []
    monkeypatch.setattr(
        lightning_liver.commands.augment_preview, "write_png", lambda figure, path, **options: figures.append(figure)
    )
    return figures


@pytest.mark.slow
def test_the_sheet_is_all_that_is_written_and_the_command_says_where(tmp_path: Path) -> None:
    code, output = run("augment_preview", *PHANTOMS, "policies=[perlin,all]", folder=tmp_path)
    assert code == 0, output
    assert str(tmp_path / SHEET) in output
    assert [path.name for path in (tmp_path / SHEET).parent.iterdir()] == [SHEET.name]
    with Image.open(tmp_path / SHEET) as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_every_policy_of_conf_augment_is_named(
    tmp_path: Path, drawn: list[Figure], capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("augment_preview", *PHANTOMS, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert {path.stem for path in (folder() / "augment").glob("*.yaml")} <= set(said(drawn[0]))


@pytest.mark.slow
def test_chosen_policies_come_in_the_order_typed_and_equal_commands_draw_equal_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = []
    for seed in (3, 3, 4):
        typed = (*PHANTOMS, "policies=[perlin,copy_paste,mixup,ct_noise]", f"seed={seed}")
        code, output = call("augment_preview", *typed, folder=tmp_path, capfd=capfd)
        assert code == 0, output
        files.append((tmp_path / SHEET).read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.slow
def test_blended_slices_and_untouched_ones_say_so(
    tmp_path: Path, drawn: list[Figure], capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("augment_preview", *PHANTOMS, "policies=[none,mixup]", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert said(drawn[0]).count("as it was") == 2
    assert sum("% blended in" in text for text in said(drawn[0])) == 2


@pytest.mark.slow
def test_one_policy_is_drawn_several_times_with_the_options_typed(
    tmp_path: Path, drawn: list[Figure], capfd: pytest.CaptureFixture[str]
) -> None:
    typed = ("augment=perlin", "augment.amplitude_hu=60", "data.context=1", "slices=1")
    code, output = call("augment_preview", *PHANTOMS, *typed, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert str(SHEET.with_name("perlin.png")) in output
    assert {"perlin", "untouched", "draw 0", "draw 1"} <= set(said(drawn[0]))
    assert any("amplitude_hu=60" in text for text in said(drawn[0]))


def test_scans_are_shown_too(scans: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    typed = ("data=lits", f"data.root={scans}", "data.workers=0", "policies=blur", "draws=1")
    code, output = call("augment_preview", *typed, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert (tmp_path / SHEET).exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("policies=[perln,ring]",), ["no perln;", "perlin", "ring"]),
        (("policies=[]",), ["policies=[]", "for all"]),
        (("policies=[ring]", "augment=perlin"), ["policies=['ring']", "augment="]),
        (("augment=ring", "augment.count=0"), ["augment.count=0"]),
        (("augment=rng",), ["augment=rng", "ring"]),
        (("seed=-1",), ["seed=-1"]),
        (("draws=0",), ["draws=0", "greater than or equal to 1"]),
        (("slices=many",), ["slices='many'", "valid integer"]),
        (("data=lits",), ["data.root"]),
    ],
)
def test_what_is_invalid_is_reported(
    tmp_path: Path, arguments: tuple[str, ...], told: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    code, output = call("augment_preview", *arguments, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    for words in told:
        assert words in output
    assert "Traceback" not in output
