"""The models folder changes while the engine serves."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from inference.engine import Engine
from inference.errors import ModelNotFound
from tests.onnx_models import classifier, heavy
from tests.unit.conftest import MAX_PIXELS
from tests.unit.pictures import photo


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    classifier(tmp_path / "models" / "leaf" / "model.onnx")
    return tmp_path / "models" / "leaf"


@pytest.fixture
def engine(folder: Path) -> Engine:
    engine = Engine(folder.parent, MAX_PIXELS)
    engine.load()
    return engine


def look_twice(engine: Engine) -> None:
    """Files count as copied once two looks show the same."""
    engine.follow()
    engine.follow()


def classes(engine: Engine, model_type: str = "leaf") -> int:
    result = engine.predict(model_type, engine.open(photo()), engine.parameters(model_type, {})).result
    return len(result["predictions"])


def test_a_new_model_is_served_once_it_stays_as_it_is(engine: Engine, folder: Path) -> None:
    classifier(folder.parent / "moon" / "model.onnx")
    engine.follow()
    with pytest.raises(ModelNotFound):
        engine.model("moon")
    engine.follow()
    assert engine.entry("moon").state == "ready"


def test_files_that_are_still_being_written_are_left_alone(engine: Engine, folder: Path) -> None:
    whole = classifier(folder.parent.parent / "whole.onnx", classes=3).read_bytes()
    for length in range(0, len(whole), len(whole) // 5):
        (folder / "model.onnx").write_bytes(whole[:length])
        engine.follow()
        assert (engine.entry("leaf").reason, classes(engine)) == ("", 2)
    (folder / "model.onnx").write_bytes(whole)
    look_twice(engine)
    assert classes(engine) == 3


@pytest.mark.parametrize("put", [shutil.copyfile, shutil.move], ids=["by copy", "by rename"])
def test_a_changed_model_takes_the_old_ones_place(engine: Engine, folder: Path, put: Callable) -> None:
    old = engine.model("leaf")
    put(classifier(folder.parent.parent / "new.onnx", classes=3), folder / "model.onnx")
    look_twice(engine)
    assert classes(engine) == 3
    assert len(old.predict(engine.open(photo()), old.parameters({})).result["predictions"]) == 2


def test_a_broken_file_never_replaces_a_working_model(engine: Engine, folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"broken")
    look_twice(engine)
    entry = engine.entry("leaf")
    assert (entry.state, classes(engine)) == ("ready", 2)
    assert "those before still are" in entry.reason
    classifier(folder / "model.onnx", classes=3)
    look_twice(engine)
    assert (engine.entry("leaf").reason, classes(engine)) == ("", 3)


def test_labels_alone_reload_a_model(engine: Engine, folder: Path) -> None:
    (folder / "labels.txt").write_text("fine\nill\n")
    look_twice(engine)
    assert engine.model("leaf").spec.labels == ("fine", "ill")


def test_a_removed_model_is_dropped(engine: Engine, folder: Path) -> None:
    shutil.rmtree(folder)
    engine.follow()
    assert classes(engine) == 2  # between two renames a folder is away for a moment
    engine.follow()
    assert engine.entries == []


def test_a_failed_model_is_served_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "leaf").mkdir()
    engine = Engine(tmp_path, MAX_PIXELS)
    engine.load()
    assert engine.entry("leaf").state == "failed"
    classifier(tmp_path / "leaf" / "model.onnx")
    look_twice(engine)
    assert [(entry.files.name, entry.state) for entry in engine.entries] == [("leaf", "ready")]


def test_versions_are_served_by_number_and_the_highest_by_name(tmp_path: Path) -> None:
    for version in ("1", "2", "10"):
        classifier(tmp_path / "leaf" / version / "model.onnx", classes=int(version))
    engine = Engine(tmp_path, MAX_PIXELS)
    engine.load()
    assert [entry.files.version for entry in engine.entries] == ["1", "2", "10"]
    assert engine.model("leaf").spec.version == "10"
    assert engine.model("leaf:2").spec.version == "2"


def test_a_broken_higher_version_leaves_the_lower_one_serving(engine: Engine, tmp_path: Path) -> None:
    models = tmp_path / "versions"
    classifier(models / "leaf" / "1" / "model.onnx")
    engine = Engine(models, MAX_PIXELS)
    engine.load()
    (models / "leaf" / "2").mkdir()
    (models / "leaf" / "2" / "model.onnx").write_bytes(b"broken")
    look_twice(engine)
    assert engine.model("leaf").spec.version == "1"
    assert engine.entry("leaf:2").state == "failed"


def test_a_model_that_another_process_serves_already_can_be_caught_up_with(engine: Engine, folder: Path) -> None:
    classifier(folder / "model.onnx", classes=3)
    other = Engine(folder.parent, MAX_PIXELS)
    other.load()
    mark = other.model("leaf").mark
    assert engine.loaded_from("leaf", mark) is None
    engine.catch_up(mark)
    assert engine.loaded_from("leaf", mark) is engine.model("leaf")
    assert classes(engine) == 3


def test_what_was_not_tried_yet_waits_for_who_may_try(folder: Path, tmp_path: Path) -> None:
    first, second = (Engine(folder.parent, MAX_PIXELS, tmp_path / "trials") for _ in range(2))
    first.load()
    second.load()
    classifier(folder / "model.onnx", classes=3)
    for _ in range(3):
        second.follow(may_try=False)
    assert classes(second) == 2
    look_twice(first)
    second.follow(may_try=False)
    assert classes(first) == classes(second) == 3


def test_weights_beside_a_model_may_be_overwritten_while_it_serves(tmp_path: Path) -> None:
    """Mapped into memory they would end the process by SIGBUS."""
    path = heavy(tmp_path / "wide" / "model.onnx", 8)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    engine = Engine(tmp_path, MAX_PIXELS)
    engine.load()
    before = engine.predict("wide", engine.open(photo()), engine.parameters("wide", {})).result
    os.truncate(path.parent / "weights.bin", 100)
    assert engine.predict("wide", engine.open(photo()), engine.parameters("wide", {})).result == before
    look_twice(engine)
    assert "the file with its weights is truncated" in engine.entry("wide").reason
    assert engine.predict("wide", engine.open(photo()), engine.parameters("wide", {})).result == before


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_told_and_the_others_are_followed(engine: Engine, folder: Path) -> None:
    (folder.parent / "secret").mkdir(mode=0)
    look_twice(engine)
    assert "cannot be read" in engine.entry("secret").reason
    assert classes(engine) == 2


def test_a_process_that_was_forked_later_takes_over_before_it_serves(engine: Engine, folder: Path) -> None:
    engine.begin_again()
    assert not engine.loading
    classifier(folder / "model.onnx", classes=3)
    classifier(folder.parent / "moon" / "model.onnx")
    engine.begin_again()
    assert engine.loading
    engine.load()
    assert (engine.loading, classes(engine), engine.entry("moon").state) == (False, 3, "ready")


@pytest.mark.parametrize("make", [
    lambda folder: (folder / "loop").symlink_to("loop"), lambda folder: (folder / "odd").symlink_to("model.onnx/x"),
    lambda folder: Path(os.fsdecode(bytes(folder / "bad") + b"\xff.bin")).touch(),
    lambda folder: Path(os.fsdecode(bytes(folder.parent / "x") + b"\xfe")).mkdir(),
], ids=["a loop", "through a file", "no text", "a folder that is no text"])
def test_odd_entries_of_a_folder_hinder_nobody(engine: Engine, folder: Path, make: Callable[[Path], None]) -> None:
    make(folder)
    classifier(folder.parent / "moon" / "model.onnx")
    look_twice(engine)
    assert (engine.entry("moon").state, classes(engine)) == ("ready", 2)
    again = Engine(folder.parent, MAX_PIXELS)
    again.load()
    assert again.entry("leaf").state == "ready"


def test_notes_in_a_models_folder_do_not_reload_it(engine: Engine, folder: Path) -> None:
    model = engine.model("leaf")
    (folder / "notes.txt").write_text("mine")
    (folder / "training.log").write_text("1")
    look_twice(engine)
    assert engine.model("leaf") is model


def test_a_model_that_moves_while_it_is_read_is_looked_at_again(engine: Engine, folder: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    classifier(folder / "model.onnx", classes=3)
    with monkeypatch.context() as moved:
        moved.setattr("inference.loading.Session", lambda *_: (folder / "gone").read_bytes())
        look_twice(engine)
        assert (engine.entry("leaf").reason, classes(engine)) == ("", 2)
    engine.follow()
    assert classes(engine) == 3


def test_a_full_disk_fails_no_model(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("inference.trial.Trials.verdict", full)
        engine = Engine(folder.parent, MAX_PIXELS, tmp_path / "trials")
        engine.load()
        assert engine.entry("leaf").state == "loading"
    look_twice(engine)
    assert engine.entry("leaf").state == "ready"


def test_what_does_not_survive_a_fork_is_left_to_those_who_are_forked(engine: Engine, folder: Path) -> None:
    (folder / "model.toml").write_text("threads = 2")
    for _ in range(2):
        engine.follow(before_fork=True)
    assert engine.entry("leaf").state == "loading"
    engine.load()
    assert engine.entry("leaf").state == "ready"


@pytest.mark.parametrize("name", ["**", "[a", "two words"])
def test_a_folder_of_any_name_may_come_and_go(folder: Path, tmp_path: Path, name: str) -> None:
    (folder.parent / name).mkdir()
    engine = Engine(folder.parent, MAX_PIXELS, tmp_path / "trials")
    engine.load()
    (folder.parent / name).rmdir()
    look_twice(engine)
    assert [entry.files.name for entry in engine.entries] == ["leaf"]


def test_what_a_model_cost_is_kept_where_its_files_are_brought_back(engine: Engine, folder: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    aside = folder.parent.parent / "aside"
    shutil.move(folder, aside)
    look_twice(engine)
    shutil.move(aside, folder)
    look_twice(engine)
    monkeypatch.setattr("inference.engine.RETIRED_S", 0.0)  # the time is over
    engine.follow()
    assert engine.cost(engine.model("leaf"))["run_ms"] > 0
