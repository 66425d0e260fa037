"""liver-active with an expert: a workspace of little scans whose masks are corrected by the tests."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from filelock import FileLock

from lightning_liver.active.workspace import Places, read_workspace
from tests.apps.commands import ROOT, SMALL, call, called, start
from tests.conftest import write_scan

LOOP = [*(option for option in SMALL if not option.startswith("data=")), "trainer.max_epochs=1", "logger=none"]
LOOP = [option for option in LOOP if option != "trainer.max_epochs=2"]
INIT = ["action=init", "pool=pool", "initial=3", "per_round=2", "rounds=3", *LOOP]
Change = Callable[[Any], tuple[Any, Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, its masks, and workspaces at three moments: made, first proposed, proposed by the network of round 1."""
    root = tmp_path_factory.mktemp("expert")
    for number in range(20, 26):
        write_scan(root / "pool", number, shape=(8, 40, 48))
    (root / "masks").mkdir()
    for path in (root / "pool").glob("segmentation*"):
        path.rename(root / "masks" / path.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIVER_CACHE", str(root / "cache"))
        assert called("active", *INIT, "workspace=made", folder=root) == 0
        shutil.copytree(root / "made", root / "first")
        assert called("active", "action=propose", "workspace=first", folder=root) == 0
        shutil.copytree(root / "first", root / "second")
        correct(root, "second")
        assert called("active", "action=accept", "workspace=second", folder=root) == 0
        assert called("active", "action=propose", "workspace=second", folder=root) == 0
    return root


@pytest.fixture(autouse=True)
def _cache(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVER_CACHE", str(place / "cache"))


@pytest.fixture
def workspace(place: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the second workspace, for this test alone."""
    copy = place / request.node.name.replace("[", "-").replace("]", "").replace("/", "")[:60]
    shutil.copytree(place / "second", copy)
    return copy


def correct(root: Path, workspace: str) -> list[str]:
    """Save the true masks of the proposed cases to where MONAI Label does, and return their names."""
    names = proposed(root / workspace)
    for name in names:
        mask = root / "masks" / f"{name.replace('volume', 'segmentation')}.nii.gz"
        shutil.copyfile(mask, Places(root / workspace).final / f"{name}.nii.gz")
    return names


def proposed(workspace: Path) -> list[str]:
    return read_workspace(workspace).names("proposed")


def states(workspace: Path) -> dict[str, str]:
    return {name: case.state for name, case in read_workspace(workspace).cases.items()}


def save(path: Path, voxels: Any, affine: Any) -> None:
    nib.save(nib.Nifti1Image(voxels, affine), path)


def test_a_round_trains_on_what_was_corrected_and_the_next_cases_are_written_with_a_proposal(place: Path) -> None:
    state, places = read_workspace(place / "second"), Places(place / "second")
    accepted = state.names("accepted")
    assert len(accepted) == 3
    assert sorted(str(state.cases[name].part) for name in accepted) == ["test", "train", "val"]
    split = json.loads((places.folder / "rounds" / "1" / "split.json").read_text())
    assert {part: len(names) for part, names in split.items()} == {"train": 1, "val": 1, "test": 1}
    for name in accepted:
        truth = nib.load(place / "masks" / f"{name.replace('volume', 'segmentation')}.nii.gz").get_fdata()
        assert np.array_equal(nib.load(places.accepted(name)).get_fdata(), truth)
        answer = state.cases[name].answer
        assert answer is not None
        assert (answer.voxels, answer.dice_liver) == ((truth > 0).sum(), None), "drawn from nothing"
    for name in (asked := state.names("proposed")):
        scan, shown = nib.load(places.scan(name)), nib.load(places.shown / f"{name}.nii.gz")
        assert scan.shape == shown.shape
        assert np.array_equal(scan.affine, shown.affine)
        assert set(np.unique(shown.get_fdata())) <= {0, 1, 2}
        assert (places.uncertainty(name)).is_file()
        assert (state.cases[name].score or 0) > 0
    assert len(asked) == 2


def test_first_cases_are_drawn_by_seed_and_come_without_a_mask(place: Path) -> None:
    places = Places(place / "first")
    assert len(proposed(place / "first")) == 3
    assert not list(places.shown.iterdir())
    assert sorted(path.name for path in places.studies.glob("*.nii.gz")) == [
        f"{name}.nii.gz" for name in proposed(place / "first")
    ]


def test_valid_corrections_are_kept_while_others_wait(
    place: Path, workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, untouched = correct(place, workspace.name)
    (Places(workspace).final / f"{untouched}.nii.gz").unlink()
    code, output = call("active", "action=accept", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 2, output
    assert f"{untouched}: its proposal is not corrected yet" in output
    assert "accept_unchanged=true" in output
    assert "1 of 2 corrections are read and kept" in output
    case = read_workspace(workspace).cases[good]
    assert case.state == "corrected"
    assert case.answer is not None
    assert case.answer.dice_liver is not None
    assert states(workspace)[untouched] == "proposed"
    code, output = call("active", "action=status", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 0
    assert f"corrected: 1 ({good})" in output
    assert f"Next: correct {untouched}" in output
    other = next(path for path in (place / "masks").iterdir() if good[-2:] not in path.name)
    shutil.copyfile(other, Places(workspace).final / f"{good}.nii.gz")
    os.utime(Places(workspace).final / f"{good}.nii.gz", (1e9, 1e9))
    (begun := workspace / "rounds" / "2").mkdir()
    code, output = call("active", "action=accept", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 2
    assert f"{good}.nii.gz is read again" in output
    assert nib.load(Places(workspace).accepted(good)).get_fdata().tolist() == nib.load(other).get_fdata().tolist()
    assert not begun.exists(), "it may have begun with the earlier mask"


@pytest.mark.slow
def test_a_copy_of_another_pool_is_refused_and_a_strategy_of_the_users_own_is_found_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in (20, 21, 22):
        write_scan(tmp_path / "pool", number, shape=(4, 20, 24))
    (tmp_path / "mine" / "strategy").mkdir(parents=True)
    shutil.copy(ROOT / "conf" / "strategy" / "random.yaml", tmp_path / "mine" / "strategy" / "own.yaml")
    (tmp_path / "w" / "studies").mkdir(parents=True)
    copy = shutil.copyfile(tmp_path / "pool" / "volume-21.nii.gz", tmp_path / "w" / "studies" / "volume-20.nii.gz")
    typed = ("--config-dir=mine", *INIT, "strategy=own", "workspace=w")
    code, output = call("active", *typed, folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "volume-20.nii.gz, found another scan; remove it" in output
    copy.unlink()
    assert called("active", *typed, folder=tmp_path) == 0
    assert called("active", "action=status", "workspace=w", folder=tmp_path) == 0


def test_scans_of_one_patient_are_told_later_and_a_round_that_lacks_patients_asks_for_more(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "first", place / "alike")
    first, second, third = correct(place, "alike")
    (tmp_path / "patients.csv").write_text(f"case,patient\n{first},A\n{second},A\n")
    typed = ("action=accept", f"patients={tmp_path / 'patients.csv'}")
    code, output = call("active", *typed, "workspace=alike", folder=place, capfd=capfd)
    assert code == 2, output
    assert "the first training has 2 patients, expected 3" in output
    code, output = call("active", "action=propose", "workspace=alike", folder=place, capfd=capfd)
    assert code == 0, output
    assert len(proposed(place / "alike")) == 1
    assert [states(place / "alike")[name] for name in (first, second, third)] == ["corrected"] * 3


@pytest.mark.slow
def test_a_scan_that_cannot_be_read_is_taken_out_of_the_pool(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for number in (20, 21, 22):
        write_scan(tmp_path / "pool", number, shape=(6, 20, 24))
    (tmp_path / "pool" / "segmentation-20.nii.gz").rename(tmp_path / "pool" / "mask.nii.gz")
    for mask in (tmp_path / "pool").glob("segmentation*"):
        mask.unlink()
    assert called("active", *INIT, "initial=4", "workspace=w", folder=tmp_path) == 0
    code, output = call("active", "action=propose", "workspace=w", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "mask.nii.gz: the values go from 0 to 1, as those of a label map" in output
    (tmp_path / "pool" / "mask.nii.gz").unlink()
    code, output = call("active", "action=propose", "workspace=w", folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert proposed(tmp_path / "w") == ["volume-20", "volume-21", "volume-22"]


def _shifted(image: Any) -> tuple[Any, Any]:
    affine = image.affine.copy()
    affine[:3, 3] += 100
    return image.get_fdata(), affine


BAD: dict[str, tuple[Change, str]] = {
    "shape": (lambda image: (image.get_fdata()[:, :, 1:], image.affine), "voxels, its volume"),
    "labels": (lambda image: (image.get_fdata() * 3, image.affine), "labels are 0 background"),
    "place": (_shifted, "mm away from its volume"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_wrong_correction_is_named_with_its_cure(
    place: Path, workspace: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    first, _ = correct(place, workspace.name)
    path = Places(workspace).final / f"{first}.nii.gz"
    change, told = BAD[kind]
    save(path, *change(nib.load(path)))
    code, output = call("active", "action=accept", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 2, output
    assert "Traceback" not in output
    assert path.name in output
    assert told in output
    assert states(workspace)[first] == "proposed"


def test_two_corrections_of_a_case_are_refused(place: Path, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first, _ = correct(place, workspace.name)
    shutil.copyfile(place / "masks" / "segmentation-20.nii.gz", Places(workspace).shown / f"{first}.nii")
    code, output = call("active", "action=accept", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 2, output
    assert f"{first}: expected one corrected mask, found " in output


def test_a_proposal_that_was_edited_in_place_is_the_correction_and_never_overwritten(
    place: Path, workspace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = proposed(workspace)
    edited = Places(workspace).shown / f"{first}.nii.gz"
    shutil.copyfile(place / "masks" / f"{first.replace('volume', 'segmentation')}.nii.gz", edited)
    before = edited.read_bytes()
    state = json.loads((workspace / "workspace.json").read_text())
    for name in (first, second):  # as of a command that was killed before it marked them
        state["cases"][name]["proposed_at"] = None
    (workspace / "workspace.json").write_text(json.dumps(state))
    code, output = call("active", "action=propose", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 0, output
    assert edited.read_bytes() == before
    code, output = call("active", "action=accept", f"workspace={workspace.name}", folder=place, capfd=capfd)
    assert code == 2, output
    assert f"{second}: its proposal is not corrected yet" in output
    assert states(workspace)[first] == "corrected"
    assert edited.read_bytes() == before


def test_a_workspace_and_its_pool_may_be_moved(place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(place / "made", tmp_path / "elsewhere" / "made")
    shutil.copytree(place / "pool", tmp_path / "elsewhere" / "pool")
    content = (tmp_path / "elsewhere/made/workspace.json").read_text().replace(str(place), str(tmp_path / "gone"))
    (tmp_path / "elsewhere/made/workspace.json").write_text(content)
    code, output = call("active", "action=propose", "workspace=elsewhere/made", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "its scans are gone; give pool=DIR" in output
    typed = ("action=propose", "workspace=elsewhere/made", "pool=elsewhere/pool")
    code, output = call("active", *typed, folder=tmp_path, capfd=capfd)
    assert code == 0, output
    assert proposed(tmp_path / "elsewhere" / "made") == proposed(place / "first"), "a function of seed and round alone"


@pytest.mark.parametrize(
    ("content", "told"),
    [("{", "damaged"), ('{"version": 9}', "expected version 1, found 9"), ("", "damaged"), (None, "action=init")],
)
def test_a_workspace_that_is_none_is_named(
    tmp_path: Path, content: str | None, told: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w").mkdir()
    if content is not None:
        (tmp_path / "w" / "workspace.json").write_text(content)
    code, output = call("active", "action=status", "workspace=w", folder=tmp_path, capfd=capfd)
    assert code == 2, output
    assert "w" in output
    assert told in output


def test_a_second_process_is_told(place: Path, workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with FileLock(workspace / ".active.lock"):
        code, output = call("active", "action=accept", f"workspace={workspace.name}", folder=place, capfd=capfd)
        assert called("active", "action=status", f"workspace={workspace.name}", folder=place) == 0
    assert code == 2
    assert "another process works in this folder" in output


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("action=accept", "workspace=made"), "nothing is proposed; type action=propose first"),
        (("action=status", "workspace=first", "pool=pool"), "pool=pool: expected action=init or action=propose"),
        (("action=propose", "workspace=second", "accept_unchanged=true"), "expected action=accept"),
        (("pool=pool", "workspace=new"), "action=simulate does not read it"),
        ((*INIT, "workspace=made"), "there is one already"),
        ((*INIT, "workspace=new", "data=lits"), "data=lits: expected no data set"),
        ((*INIT, "workspace=new", "unit=slice"), "unit=slice: expected unit=case"),
        ((*INIT, "workspace=new", "initial=2"), "the first training has 2 patients, expected 3"),
        ((*INIT, "workspace=new", "initial=7"), "initial=7: expected at most 6, the patients of"),
        ((*INIT, "workspace=new", "strategy=variance", "model.dropout=0"), "expected a network with dropout"),
        ((*INIT, "workspace=new", "run=nowhere"), "run=nowhere: no such folder"),
        ((*INIT, "hydra.mode=MULTIRUN"), "action=init: expected one workspace, but the command line is a sweep"),
    ],
)
def test_mistakes_are_named(place: Path, typed: tuple[str, ...], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    given = {each.partition("=")[0]: each for each in typed}  # the last of each option
    code, output = call("active", *given.values(), folder=place, capfd=capfd)
    assert code == 2, output
    assert "Traceback" not in output
    assert told in output.replace("\n", " ")
    assert not (place / "new" / "workspace.json").exists()


def test_known_repeats_of_lits_and_a_table_of_patients_are_asked_for_together(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in (0, 1, 2, 7, 8):
        write_scan(tmp_path / "pool", number, shape=(4, 20, 24))
    for mask in (tmp_path / "pool").glob("segmentation*"):
        mask.unlink()
    (tmp_path / "patients.csv").write_text("case,patient\n0,A\n2,A\n")
    for workspace, options, expected in (
        ("w", (), [["volume-0", "volume-1"], ["volume-7", "volume-8"], ["volume-2"]]),
        ("v", ("patients=patients.csv",), [["volume-0", "volume-2"], ["volume-1"], ["volume-7", "volume-8"]]),
    ):
        code, output = call("active", *INIT, f"workspace={workspace}", *options, folder=tmp_path, capfd=capfd)
        assert code == 0, output
        state = read_workspace(tmp_path / workspace)
        assert sorted(list(each.cases) for each in state.candidates(list(state.cases))) == sorted(expected)


@pytest.mark.slow
def test_masks_at_hand_train_the_first_round_and_an_unchanged_proposal_may_be_accepted(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "pool", tmp_path / "pool")
    for number in (20, 21, 22):
        shutil.copy(place / "masks" / f"segmentation-{number}.nii.gz", tmp_path / "pool")
    for typed in (
        (*INIT, "start=last_round"),
        ("action=accept",),
        ("action=propose",),
        ("action=accept", "accept_unchanged=true"),
    ):
        code, output = call("active", *typed, "workspace=w", folder=tmp_path, capfd=capfd)
        assert code == 0, output
    state = read_workspace(tmp_path / "w")
    assert state.rounds == 2
    taken = [case.answer for case in state.cases.values() if case.round == 2]
    assert [answer.voxels for answer in taken if answer is not None] == [0, 0]
    assert (tmp_path / "w" / "rounds" / "2" / "metrics.json").is_file()


@pytest.mark.slow
def test_a_run_proposes_before_the_first_training(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(place / "pool", tmp_path / "pool")
    run = place / "second" / "rounds" / "1"
    for typed in ((*INIT, f"run={run}"), ("action=propose",)):
        code, output = call("active", *typed, "workspace=w", folder=tmp_path, capfd=capfd)
        assert code == 0, output
    places = Places(tmp_path / "w")
    assert all((places.shown / f"{name}.nii.gz").is_file() for name in proposed(tmp_path / "w"))


@pytest.mark.slow
def test_a_loop_killed_at_random_moments_ends_as_one_left_alone(place: Path) -> None:
    moments = random.Random(0)

    def finish(workspace: str, kills: int) -> None:
        for typed in (INIT, ["action=propose"], ["action=accept"], ["action=propose"], ["action=accept"]):
            if "action=accept" in typed:
                correct(place, workspace)
            for _ in range(kills):
                process = start("active", *typed, f"workspace={workspace}", folder=place)
                time.sleep(moments.uniform(2, 14))
                process.send_signal(signal.SIGKILL)
                process.communicate()
                if process.returncode != -signal.SIGKILL:
                    break
                state = place / workspace / "workspace.json"
                if typed is INIT and state.exists():
                    break
            else:
                code = called("active", *typed, f"workspace={workspace}", folder=place)
                assert code == 0

    finish("whole", 0)
    finish("killed", 2)
    assert outcome(place / "killed") == outcome(place / "whole")


def outcome(workspace: Path) -> list[object]:
    """Return what must not depend on an interruption."""
    state = read_workspace(workspace)
    metrics = [(workspace / "rounds" / str(n) / "metrics.json").read_text() for n in range(1, state.rounds + 1)]
    cases = [(name, case.state, case.round, case.part, case.score, case.answer) for name, case in state.cases.items()]
    return [*cases, *metrics]
