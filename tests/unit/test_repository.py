import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.repository import MODEL_FILE, Fingerprints, ModelFiles, scan


def put_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(b"onnx")
    return folder


def only(models_dir: Path) -> ModelFiles:
    [files] = scan(models_dir)
    return files


def test_a_model_without_versions_is_version_1(tmp_path: Path) -> None:
    folder = put_model(tmp_path / "leaf")
    files = only(tmp_path)
    assert (files.name, files.version, files.folder, files.onnx) == ("leaf", "1", folder, folder / MODEL_FILE)


def test_every_numbered_version_is_found(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        put_model(tmp_path / "leaf" / version)
    files = sorted(scan(tmp_path), key=lambda found: found.key)
    assert [found.version for found in files] == ["2", "9", "10"]
    assert files[-1].onnx == tmp_path / "leaf" / "10" / MODEL_FILE


def test_a_versions_own_side_files_beat_its_models(tmp_path: Path) -> None:
    first, second = (put_model(tmp_path / "leaf" / version) for version in ("1", "2"))
    (tmp_path / "leaf" / "labels.txt").write_text("both")
    (second / "model.toml").touch()
    assert [found.folder for found in sorted(scan(tmp_path), key=lambda found: found.key)] == [first.parent, second]


@pytest.mark.parametrize("change", [
    lambda folder: (folder / MODEL_FILE).write_bytes(b"xnno"), lambda folder: (folder / "labels.txt").touch(),
    lambda folder: (folder / "new").write_bytes(b"xnno") and (folder / "new").replace(folder / MODEL_FILE),
    lambda folder: (folder / "model.onnx.data").write_bytes(b"weights"),
    lambda folder: (folder / "weights.bin").rename(folder / "weights"),
], ids=["written", "a side file", "replaced", "external data", "renamed"])
def test_any_change_of_a_models_files_is_noticed(tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder, fingerprints = put_model(tmp_path / "leaf"), Fingerprints()
    (folder / "weights.bin").write_bytes(b"1")
    before, fingerprint = only(tmp_path), fingerprints.of(only(tmp_path))
    change(folder)
    assert only(tmp_path).stamp != before.stamp
    assert fingerprints.of(only(tmp_path)) != fingerprint


@pytest.mark.parametrize("change", [
    lambda folder: (folder / MODEL_FILE).chmod(0o600), lambda folder: (folder / MODEL_FILE).touch(),
    lambda folder: shutil.copy(folder / MODEL_FILE, folder / "new") and (folder / "new").replace(folder / MODEL_FILE),
    lambda folder: (folder / "notes.txt").write_text("mine"), lambda folder: (folder / "training.log").write_text("1"),
], ids=["rights", "times", "a copy", "notes", "a log"])
def test_what_does_not_change_what_files_hold_does_not_change_their_fingerprint(
        tmp_path: Path, change: Callable[[Path], object]) -> None:
    folder, fingerprints = put_model(tmp_path / "leaf"), Fingerprints()
    fingerprint = fingerprints.of(only(tmp_path))
    change(folder)
    assert fingerprints.of(only(tmp_path)) == Fingerprints().of(only(tmp_path)) == fingerprint


def test_a_copy_elsewhere_has_the_same_fingerprint(tmp_path: Path) -> None:
    for models in ("here", "there"):
        put_model(tmp_path / models / "leaf" / "1")
        (tmp_path / models / "leaf" / "labels.txt").write_text("fine\nill")
    assert Fingerprints().of(only(tmp_path / "here")) == Fingerprints().of(only(tmp_path / "there"))


def test_a_large_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_model(tmp_path / "leaf")
    fingerprints = Fingerprints()
    known = fingerprints.of(only(tmp_path))
    monkeypatch.delattr(Path, "open")
    assert fingerprints.of(only(tmp_path)) == known


def test_a_version_without_a_model_does_not_serve(tmp_path: Path) -> None:
    put_model(tmp_path / "leaf" / "1")
    (tmp_path / "leaf" / "2").mkdir()
    (tmp_path / "leaf" / "old").mkdir()
    assert only(tmp_path).version == "1"


def test_a_folder_without_a_model_is_listed_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "leaf").mkdir()
    assert only(tmp_path).onnx is None
    assert MODEL_FILE in only(tmp_path).reason


@pytest.mark.parametrize("name", ["two words", "-dash", "ünï", "x" * 101, "a?b"])
def test_a_name_that_no_path_can_bear_is_listed_with_what_to_do(tmp_path: Path, name: str) -> None:
    put_model(tmp_path / name)
    assert only(tmp_path).onnx is None
    assert "rename" in only(tmp_path).reason


def test_models_are_listed_by_name_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        put_model(tmp_path / name)
    (tmp_path / "README.md").touch()
    assert [files.name for files in scan(tmp_path)] == ["a", "b"]


def test_a_missing_models_folder_holds_no_models(tmp_path: Path) -> None:
    assert scan(tmp_path / "absent") == []
