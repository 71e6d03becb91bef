from pathlib import Path

import pytest

from inference.repository import MODEL_FILE, ModelFiles, scan


def put_model(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(b"onnx")
    return folder


def only(models_dir: Path) -> ModelFiles:
    [files] = scan(models_dir)
    return files


def test_a_model_without_versions_is_version_1(tmp_path: Path) -> None:
    folder = put_model(tmp_path / "leaf")
    assert only(tmp_path) == ModelFiles("leaf", "1", folder, folder / MODEL_FILE)


def test_the_highest_version_by_number_serves(tmp_path: Path) -> None:
    for version in ("2", "10", "9"):
        put_model(tmp_path / "leaf" / version)
    files = only(tmp_path)
    assert (files.version, files.onnx) == ("10", tmp_path / "leaf" / "10" / MODEL_FILE)


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
