"""Scans and stores at an address: in memory, in a folder, and on an S3 server on loopback."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from lightning_liver.data import mirror, sources
from lightning_liver.data.address import address_of, is_address, mirror_of, remote_root, shown
from lightning_liver.data.mirror import files_below, local, refresh
from lightning_liver.data.prepare import prepare
from lightning_liver.data.store import Store, forget_open_arrays, open_store
from lightning_liver.errors import LiverError
from tests.conftest import write_scan


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of a bucket of a real S3 server in a thread of this process."""
    server_module = pytest.importorskip("moto.server", reason="no S3 server: pip install 'moto[s3]' flask flask-cors")
    pytest.importorskip("s3fs", reason="no S3: pip install s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("scans")
        yield "s3://scans"
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.fixture(params=["memory", "file", "s3"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty place, by each protocol."""
    if request.param == "file":
        return f"file://{tmp_path}/away"
    if request.param == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return f"memory://{tmp_path.name}"


def put(folder: Path, address: str) -> None:
    files, place = fsspec.url_to_fs(address)
    for path in folder.rglob("*.nii.gz"):
        target = f"{place}/{path.relative_to(folder)}"
        files.makedirs(files._parent(target), exist_ok=True)
        files.put_file(str(path), target)
    files.invalidate_cache()


def forget() -> None:
    forget_open_arrays()
    for name in ("memory", "file", "s3"):
        fsspec.filesystem(name).invalidate_cache() if name != "s3" or "AWS_ENDPOINT_URL" in os.environ else None


def prepared(root: str, store: str, **options: Any) -> Store:
    defaults = {"spacing_mm": None, "workers": 0, "skip_bad": False}
    return prepare(sources.lits(root, patients=None), store=store, **(defaults | options))


def volume(store: Store, name: str, kind: Any = "hu") -> np.ndarray:
    return np.stack([store.read(name, kind, z) for z in range(store.cases[name].shape[0])])


def damaged(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def copies() -> list[Path]:
    return [path for path in remote_root().rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_scans_and_store_at_an_address_give_the_slices_of_local_ones(scans: Path, address: str, tmp_path: Path) -> None:
    put(scans, f"{address}/lits")
    here = prepared(str(scans), str(tmp_path / "store"), spacing_mm=2.0)
    away = prepared(f"{address}/lits", f"{address}/store", spacing_mm=2.0)
    assert away.cases.keys() == here.cases.keys()
    assert away.cases["20"].volume == f"{address}/lits/volume-20.nii.gz"
    shutil.rmtree(remote_root())  # another machine
    forget()
    again = prepared(f"{address}/lits", f"{address}/store", spacing_mm=2.0)
    assert again.cases == away.cases
    assert not [path for path in copies() if path.suffix != ".json"], "nothing was prepared, and no scan was read"
    for kind in ("hu", "labels", "native_labels"):
        np.testing.assert_array_equal(volume(again, "21", kind), volume(here, "21", kind))
    assert {path.parent.name for path in copies() if path.suffix == ".b2nd"} == {"21"}, "only what is read is copied"
    assert open_store(again.folder).cases == again.cases


def test_a_changed_scan_is_prepared_anew_and_no_other(scans: Path, address: str) -> None:
    put(scans, f"{address}/lits")
    before = prepared(f"{address}/lits", f"{address}/store").cases
    write_scan(scans, 20, spacing_mm=1.25)
    time.sleep(0.01)
    for name in ("volume-20.nii.gz", "segmentation-20.nii.gz"):
        files, place = fsspec.url_to_fs(f"{address}/lits/{name}")
        files.put_file(str(scans / name), place)
    forget()
    after = prepared(f"{address}/lits", f"{address}/store").cases
    assert [name for name in after if after[name] != before[name]] == ["20"]
    assert after["20"].spacing_mm[1] == 1.25


def test_a_damaged_copy_is_brought_again(scans: Path, address: str, tmp_path: Path) -> None:
    put(scans, f"{address}/lits")
    away = prepared(f"{address}/lits", f"{address}/store")
    whole = volume(away, "20")
    path = away.path("20", "hu")
    path.write_bytes(damaged(path.read_bytes()))
    forget()
    assert away.check("20")
    np.testing.assert_array_equal(volume(away, "20"), whole)


def test_a_case_damaged_at_the_address_is_prepared_anew(scans: Path, address: str) -> None:
    put(scans, f"{address}/lits")
    away = prepared(f"{address}/lits", f"{address}/store")
    whole = volume(away, "20")
    files, place = fsspec.url_to_fs(address_of(away.path("20", "hu")))
    content = files.cat_file(place)
    files.pipe_file(place, damaged(content))
    away.path("20", "hu").unlink()
    forget()
    assert not away.check("20")
    np.testing.assert_array_equal(volume(away, "20"), whole)
    files.invalidate_cache()
    assert files.cat_file(place) == content


def test_copies_never_take_more_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for number in range(8):
        (away / f"{number}.bin").write_bytes(bytes(100_000))
    monkeypatch.setenv("LIVER_CACHE_GB", "0.00035")
    folder = mirror_of(f"file://{away}", "data.root")
    for number in (0, 1, 2, 0, 3, 4):
        local(folder / f"{number}.bin")
        assert sum(path.stat().st_size for path in copies()) <= 350_000
    assert {path.name for path in copies()} == {"0.bin", "3.bin", "4.bin"}, "those used longest ago go first"


def test_a_store_larger_than_the_cache_is_read_whole_and_told(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = f"file://{tmp_path}/store"
    here = prepared(str(scans), str(tmp_path / "here"))
    largest = max(path.stat().st_size for path in (tmp_path / "here").rglob("hu.b2nd"))
    monkeypatch.setenv("LIVER_CACHE_GB", str(2.5 * largest / 1e9))
    store = prepared(str(scans), away)
    assert "LIVER_CACHE_GB=1 or more" in caplog.text
    for name in [*store.cases, *store.cases]:
        np.testing.assert_array_equal(volume(store, name), volume(here, name))
        assert sum(path.stat().st_size for path in copies() if path.suffix == ".b2nd") <= 2.5 * largest


def test_threads_and_processes_that_want_one_file_read_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away = tmp_path / "away"
    away.mkdir()
    (away / "a.bin").write_bytes(os.urandom(200_000))
    path = mirror_of(f"file://{away}", "data.root") / "a.bin"
    downloads = []
    original = mirror._download
    monkeypatch.setattr(mirror, "_download", lambda *given: (downloads.append(1), time.sleep(0.1), original(*given)))
    with ThreadPoolExecutor(4) as pool:
        assert all(each.read_bytes() == (away / "a.bin").read_bytes() for each in pool.map(local, [path] * 4))
    assert len(downloads) == 1


def test_hidden_files_and_keys_that_lead_out_are_left(tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    for key in (f"/{tmp_path.name}/a.nii", f"/{tmp_path.name}/.b.nii", f"/{tmp_path.name}/c/../../d.nii"):
        files.store[key] = fsspec.implementations.memory.MemoryFile(files, key, b"x")
    found = files_below(mirror_of(f"memory://{tmp_path.name}", "data.root"), "data.root")
    assert [path.name for path in found] == ["a.nii"]


def test_refresh_removes_what_is_gone(tmp_path: Path) -> None:
    away = tmp_path / "away"
    away.mkdir()
    for name in ("a.json", "b.json", "c.bin"):
        (away / name).write_text(name)
    folder = mirror_of(f"file://{away}", "data.root")
    refresh(folder, "*.json")
    assert {path.name for path in copies()} == {"a.json", "b.json"}
    (away / "a.json").unlink()
    (away / "b.json").write_text("other")
    refresh(folder, "*.json")
    assert [path.read_text() for path in copies()] == ["other"]


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("s3://bucket/lits/", "s3://bucket/lits"),
        ("file:///data/lits", "file:///data/lits"),
        ("memory://a/b", "memory://a/b"),
    ],
)
def test_a_place_gives_its_address_back(given: str, address: str) -> None:
    pytest.importorskip("s3fs")
    assert is_address(given)
    assert shown(mirror_of(given, "data.root")) == address


@pytest.mark.parametrize("given", ["/data/lits", "lits", "C:/data", "C:\\data", "~/lits", "s3:/x"])
def test_paths_are_no_addresses(given: str) -> None:
    assert not is_address(given)
    assert shown(Path(given)) == str(Path(given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("foo://bucket/lits", "data.root=foo://bucket/lits: expected a folder or an address"),
        ("s3://", "data.root=s3://: expected an address with a folder"),
        ("simplecache::s3://bucket/lits", "expected an address without '::'"),
        ("memory://nothing/here", "data.root=memory://nothing/here: there is no file below this address"),
        ("abfs://container/lits", "data.root=abfs://container/lits: needs a package that is not installed"),
    ],
)
def test_wrong_addresses_are_named(given: str, message: str) -> None:
    with pytest.raises(LiverError) as refused:
        sources.lits(given, patients=None)
    assert message in str(refused.value)


def test_an_absent_extra_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)  # type: ignore[attr-defined]
    with pytest.raises(LiverError, match=r"do pip install 's3fs>=2024.6'"):
        sources.lits("s3://bucket/lits", patients=None)


@pytest.mark.parametrize("given", ["0", "-1", "much"])
def test_a_wrong_bound_is_named(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVER_CACHE_GB", given)
    with pytest.raises(LiverError, match=f"LIVER_CACHE_GB={given}: expected a number"):
        mirror.limit_bytes()


def test_a_full_address_is_named(scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.put_file", full)
    with pytest.raises(LiverError, match=r"cannot be written \(No space left on device\); free some space there"):
        prepared(str(scans), f"file://{tmp_path}/store")


def test_a_strangers_run_does_not_write_to_an_address(scans: Path, tmp_path: Path) -> None:
    address = f"file://{tmp_path}/store"
    with pytest.raises(LiverError, match=r"data.store=file:.*expected a folder in the cache"):
        prepared(str(scans), address, confined=True)
    assert not (tmp_path / "store").exists()
    prepared(str(scans), address)
    assert prepared(str(scans), address, confined=True).cases


def child(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], env=os.environ | environment, capture_output=True, text=True, timeout=300
    )


PREPARE = ["-m", "lightning_liver.apps.prepare", "data=lits", "data.workers=0"]


@pytest.mark.slow
def test_missing_credentials_and_a_dead_server_are_named(s3: str, tmp_path: Path) -> None:
    address = f"data.root={s3}/lits"
    out = f"hydra.run.dir={tmp_path}/out"
    refused = child(
        [*PREPARE, address, out], AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", AWS_EC2_METADATA_DISABLED="true"
    )
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    assert "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in refused.stderr
    dead = child([*PREPARE, address, out], AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert dead.returncode == 2
    assert "Traceback" not in dead.stderr
    assert "check AWS_ENDPOINT_URL and the network" in dead.stderr
