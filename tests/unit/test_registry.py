"""The models folder changes while a generation of predictors serves."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inference.registry import Entry
from tests.unit.fake_trials import BROKEN, Parent, put

LEAF = ("leaf", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put(tmp_path / "models" / "leaf").parent


@pytest.fixture
def parent(folder: Path) -> Parent:
    """It serves `leaf`."""
    parent = Parent(folder.parent)
    parent.look(2)
    assert parent.entry().state == "ready"
    return parent


def test_at_a_start_everything_counts_as_settled(folder: Path) -> None:
    parent = Parent(folder.parent)
    parent.look()
    assert (parent.entry(), parent.trials.count) == (Entry("leaf", "1", "loading"), 1)


def test_a_new_model_is_tried_once_it_stays_as_it_is(parent: Parent, folder: Path) -> None:
    put(folder.parent / "moon")
    parent.look()
    assert [entry.name for entry in parent.entries] == ["leaf"]
    parent.look()
    assert parent.entry("moon") == Entry("moon", "1", "loading")
    parent.look()
    assert parent.entry("moon").state == "ready"
    assert set(parent.served) == {LEAF, ("moon", 1)}


def test_files_that_are_still_being_written_are_left_alone(parent: Parent, folder: Path) -> None:
    before = parent.served
    for length in range(5):
        put(folder, b"new"[:length])
        parent.look()
        assert (parent.entry().reason, parent.served) == ("", before)
    parent.look_long()
    assert parent.served != before


@pytest.mark.parametrize("place", [shutil.copyfile, shutil.move], ids=["by copy", "by rename"])
def test_a_changed_model_takes_the_old_ones_place_once_it_is_tried(parent: Parent, folder: Path,
                                                                   place: Callable) -> None:
    before, parent.trials.slow = parent.served, True
    place(put(folder.parent.parent / "new", b"new"), folder / "model.onnx")
    parent.look_long()
    assert (parent.served, parent.entry().state, parent.entry().reason) == (before, "ready", "")
    parent.trials.slow = False
    parent.look(2)
    assert parent.served[LEAF].info.fingerprint != before[LEAF].info.fingerprint
    assert parent.entry().model == parent.served[LEAF].info


def test_a_broken_file_never_replaces_a_working_model(parent: Parent, folder: Path) -> None:
    before = parent.served
    put(folder, BROKEN)
    parent.look_long()
    assert (parent.served, parent.entry().state) == (before, "ready")
    assert parent.entry().reason == ("its files changed and cannot be served, those before still are: "
                                     "export it again")
    put(folder, b"mended")
    parent.look_long()
    assert (parent.entry().reason, parent.served != before) == ("", True)


def test_labels_alone_change_a_model(parent: Parent, folder: Path) -> None:
    before = parent.served
    (folder / "labels.txt").write_text("fine\nill\n")
    parent.look_long()
    assert parent.served != before


@pytest.mark.parametrize("change", [
    lambda file: file.chmod(0o600), lambda file: Path(shutil.copy(file, file.parent / "new")).replace(file),
    lambda file: (file.parent / "notes.txt").write_text("mine"), lambda file: file.write_bytes(file.read_bytes()),
], ids=["rights", "the same again", "notes", "written anew"])
def test_what_leaves_the_content_as_it_is_changes_nothing(parent: Parent, folder: Path,
                                                          change: Callable[[Path], object]) -> None:
    before, trials = parent.served, parent.trials.count
    change(folder / "model.onnx")
    parent.look_long()
    assert (parent.served, parent.trials.count) == (before, trials)


def test_two_folders_with_the_same_content_are_two_models(parent: Parent, folder: Path) -> None:
    shutil.copytree(folder, folder.parent / "moon")
    parent.look_long()
    leaf, moon = parent.served[LEAF], parent.served["moon", 1]
    assert leaf.info.fingerprint == moon.info.fingerprint
    assert (leaf.files.folder, moon.files.folder) == (folder, folder.parent / "moon")
    assert [entry.model and entry.model.spec.name for entry in parent.entries] == ["leaf", "moon"]


def test_a_model_that_moves_is_served_from_where_it_lies_now(parent: Parent, folder: Path) -> None:
    """A predictor that is forked later may load it again."""
    (folder / "1").mkdir()
    (folder / "model.onnx").rename(folder / "1" / "model.onnx")
    parent.look_long()
    assert parent.served[LEAF].files.onnx == folder / "1" / "model.onnx"
    assert parent.trials.count == 1


def test_a_model_that_is_gone_for_two_looks_is_dropped(parent: Parent, folder: Path) -> None:
    shutil.rmtree(folder)
    parent.look()
    assert set(parent.served) == {LEAF}  # between two renames a folder is away for a moment
    parent.look()
    assert (parent.entries, parent.served, parent.trials.forgotten) == ([], {}, ["leaf"])


def test_a_model_that_comes_back_in_time_was_never_gone(parent: Parent, folder: Path) -> None:
    before = parent.served
    folder.rename(folder.parent.parent / "aside")
    parent.look()
    (folder.parent.parent / "aside").rename(folder)
    parent.look_long()
    assert (parent.served, parent.trials.count) == (before, 1)


def test_a_failed_model_is_served_once_it_is_mended(tmp_path: Path) -> None:
    (tmp_path / "leaf").mkdir()
    parent = Parent(tmp_path)
    parent.look()
    assert parent.entry(version="").state == "failed"
    put(tmp_path / "leaf")
    parent.look_long()
    assert [(entry.version, entry.state) for entry in parent.entries] == [("1", "ready")]


def test_versions_are_listed_by_number(tmp_path: Path) -> None:
    for version in ("1", "2", "10"):
        put(tmp_path / "leaf" / version)
    parent = Parent(tmp_path)
    parent.look(2)
    assert [(entry.version, entry.state) for entry in parent.entries] == [
        ("1", "ready"), ("2", "ready"), ("10", "ready")]


def test_a_broken_higher_version_leaves_the_lower_one_serving(tmp_path: Path) -> None:
    put(tmp_path / "leaf" / "1")
    put(tmp_path / "leaf" / "2", BROKEN)
    parent = Parent(tmp_path)
    parent.look(2)
    assert [(entry.state, entry.reason) for entry in parent.entries] == [("ready", ""), ("failed", "export it again")]
    assert set(parent.served) == {LEAF}


def test_what_cannot_be_loaded_after_its_trial_is_left_alone_until_it_changes(parent: Parent, folder: Path) -> None:
    before = parent.served
    put(folder, b"new")
    for _ in range(3):
        parent.registry.look()
    parent.registry.refuse(parent.registry.wanted(before)[LEAF], "too large")
    parent.look_long()
    assert parent.served == before
    assert parent.entry().reason.endswith("too large")
    put(folder, b"smaller")
    parent.look_long()
    assert (parent.served != before, parent.entry().reason) == (True, "")


def test_a_model_that_is_not_served_any_more_is_loading(parent: Parent) -> None:
    """As after the death of all predictors."""
    assert parent.registry.entries({}) == [Entry("leaf", "1", "loading")]


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read_is_told_and_the_others_are_followed(parent: Parent, folder: Path) -> None:
    (folder.parent / "secret").mkdir(mode=0)
    parent.look_long()
    assert "cannot be read" in parent.entry("secret", "").reason
    assert parent.entry().state == "ready"


def test_a_file_that_may_not_be_read_is_told_until_it_may(parent: Parent, folder: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    put(folder.parent / "moon")
    with monkeypatch.context() as rights:
        rights.setattr("inference.repository.Fingerprints.of", refuse)
        parent.look_long()
        assert parent.entry("moon").reason == ("its files cannot be read (Permission denied): let the service's user "
                                               "read them")
    (folder.parent / "moon" / "model.onnx").chmod(0o644)
    parent.look_long()
    assert parent.entry("moon").state == "ready"


def test_a_file_that_is_gone_while_it_is_read_is_looked_at_again(parent: Parent, folder: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    before = parent.served
    put(folder, b"new")
    with monkeypatch.context() as moved:
        moved.setattr("inference.repository.Fingerprints.of", lambda *_: (folder / "gone").read_bytes())
        parent.look_long()
        assert (parent.served, parent.entry().reason) == (before, "")
    parent.look(2)
    assert parent.served != before


@pytest.mark.parametrize("make", [
    lambda folder: (folder / "loop").symlink_to("loop"), lambda folder: (folder / "odd").symlink_to("model.onnx/x"),
    lambda folder: Path(os.fsdecode(bytes(folder / "bad") + b"\xff.bin")).touch(),
    lambda folder: Path(os.fsdecode(bytes(folder.parent / "x") + b"\xfe")).mkdir(),
], ids=["a loop", "through a file", "no text", "a folder that is no text"])
def test_odd_entries_of_a_folder_hinder_nobody(parent: Parent, folder: Path, make: Callable[[Path], None]) -> None:
    make(folder)
    put(folder.parent / "moon")
    parent.look_long()
    again = Parent(folder.parent)
    again.look(2)
    for each in (parent, again):
        assert (each.entry("moon").state, each.entry().state) == ("ready", "ready")


@pytest.mark.parametrize("name", ["**", "[a", "two words"])
def test_a_folder_of_any_name_may_come_and_go(parent: Parent, folder: Path, name: str) -> None:
    (folder.parent / name).mkdir()
    parent.look_long()
    assert "rename the folder" in parent.entry(name, "").reason
    (folder.parent / name).rmdir()
    parent.look(2)
    assert [entry.name for entry in parent.entries] == ["leaf"]
    assert parent.trials.forgotten == []  # only what was tried


def test_a_model_goes_on_while_nothing_tells_which_of_two_files_it_is(parent: Parent, folder: Path) -> None:
    (folder / "model.onnx").rename(folder / "best.onnx")
    parent.look_long()
    before = parent.served
    assert before[LEAF].files.onnx == folder / "best.onnx"
    (folder / "last.onnx").write_bytes(b"new")
    parent.look_long()
    assert (parent.served, parent.entry().state) == (before, "ready")
    assert parent.entry().reason.startswith("its files changed and cannot be served, those before still are: several")
    (folder / "best.onnx").unlink()
    parent.look_long()
    assert (parent.entry().reason, parent.served[LEAF].files.onnx) == ("", folder / "last.onnx")


def test_a_bare_file_is_followed_as_a_folder_is(parent: Parent, folder: Path) -> None:
    moon = folder.parent / "moon.onnx"
    moon.write_bytes(b"good")
    parent.look_long()
    assert parent.entry("moon").state == "ready"
    (folder.parent / "moon").mkdir()
    moon.rename(folder.parent / "moon" / "moon.onnx")
    parent.look_long()
    assert parent.served["moon", 1].files.onnx == folder.parent / "moon" / "moon.onnx"
    assert parent.trials.count == 2  # it is the same model
