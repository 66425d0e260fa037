"""Damaged files of a run folder, at every command that reads one: the file is named, exit code 2, no traceback."""

import re
import shutil
from pathlib import Path

import pytest

from tests.apps.commands import call, called, small_run
from tests.conftest import write_scan

DAMAGES = {
    "empty": b"",
    "a list": b"[1, 2]",
    "not UTF-8": b"\xff\xfe\xfa",
    "deep": b"[" * 100_000,
    "a huge number": b'{"epochs": ' + b"9" * 5000 + b"}",
    "not a number": b'{"epochs": NaN, "config": NaN}',
}
CONFIG, HYDRA = ".hydra/config.yaml", ".hydra/hydra.yaml"
BEST, LAST = "checkpoints/best.ckpt", "checkpoints/last.ckpt"
JSON = ("metrics.json", "chosen.json", "split.json", "timing.json", "decision.json", "differs.json", "environment.json")
TABLES = ("cases.csv", "lesions.csv", "losses.csv", "calibration.csv", "data.csv", "scalars.csv")
COMMANDS = {
    "report": (("run=copy",), (CONFIG, HYDRA, *JSON, *(set(TABLES) - {"losses.csv"}))),
    "runs": (("copy",), (CONFIG, HYDRA, *JSON)),
    "compare": (("copy",), (CONFIG, HYDRA, "metrics.json", "timing.json", "cases.csv", "losses.csv")),
    "export": (("run=copy", "format=hub", "output=exported"), (CONFIG, BEST, *JSON)),
    "predict": (("run=copy", "input=scans/volume-20.nii.gz", "output=masks"), (CONFIG, BEST)),
    "evaluate": (("run=copy", "hydra.run.dir=scored"), (CONFIG, BEST, "split.json")),
    "train": (("resume=copy",), (CONFIG, HYDRA, "chosen.json", "metrics.json")),
}


UNREAD = {("export", "timing.json")}
WHOLE = {("empty", ".csv"), ("empty", ".yaml"), ("not a number", ".yaml")}  # no test cases, no options, other options


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scans and a complete run in `run`."""
    folder = tmp_path_factory.mktemp("damaged")
    for number in range(20, 25):
        write_scan(folder / "scans", number)
    arguments = small_run(folder / "scans", "run", "trainer.max_epochs=1", f"data.store={folder / 'store'}")
    assert called("train", *arguments, folder=folder) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("app", COMMANDS)
def test_a_damaged_file_is_named_by_every_command(
    place: Path, app: str, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments, names = COMMANDS[app]
    for name in names:
        for folder in ("copy", "masks", "exported", "scored"):
            shutil.rmtree(place / folder, ignore_errors=True)
        shutil.copytree(place / "run", place / "copy")
        (place / "copy" / name).write_bytes(DAMAGES[damage])
        code, output = call(app, *arguments, folder=place, capfd=capfd)
        assert "Traceback" not in output, (name, output)
        if app == "runs" or (app, name) in UNREAD or (damage, Path(name).suffix) in WHOLE:
            assert code in (0, 2), (name, output)
        else:
            assert code == 2, (name, output)
            assert Path(name).name in output, (name, output)


@pytest.mark.slow
def test_a_byte_order_mark_is_accepted_by_every_command(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(place / "copy", ignore_errors=True)
    shutil.copytree(place / "run", place / "copy")
    for name in (CONFIG, HYDRA, *JSON, *TABLES):
        path = place / "copy" / name
        if path.exists():
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    for app in COMMANDS:
        for folder in ("masks", "exported", "scored"):
            shutil.rmtree(place / folder, ignore_errors=True)
        code, output = call(app, *COMMANDS[app][0], folder=place, capfd=capfd)
        assert code == 0, (app, output)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "another pickle", "another run's"])
@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_run_with_a_damaged_checkpoint_is_not_resumed(
    place: Path, name: str, damage: str, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(place / "copy", ignore_errors=True)
    shutil.copytree(place / "run", place / "copy")
    (place / "copy" / "metrics.json").unlink()
    path = place / "copy" / name
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 16
    if damage == "another run's":
        arguments = small_run(place / "scans", "other", "trainer.max_epochs=1", "model.base_channels=6")
        if not (place / "other").exists():
            assert called("train", *arguments, f"data.store={place / 'store'}", folder=place) == 0
        content = bytearray((place / "other" / name).read_bytes())
    whole = {"empty": b"", "cut": content[: len(content) // 2], "another pickle": b"\x80\x02]q\x00."}
    path.write_bytes(whole.get(damage, content))
    capfd.readouterr()
    code, output = call("train", "resume=copy", folder=place, capfd=capfd)
    assert code == 2, output
    assert re.search(rf"{path.name}.* (is damaged|of another run)", output), output
    assert "Traceback" not in output
