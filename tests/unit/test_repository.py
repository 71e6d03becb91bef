import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

import pytest

from inference.repository import MODEL_FILE, SIDE_FILES, Fingerprints, ModelFiles, scan


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
    assert only(tmp_path).reason == "no .onnx file in the folder: put the model there"


@pytest.mark.parametrize("name", ["딸기", "ünï", "苺〇号", "स्ट्रॉबेरी", "فراولة", "strawberry.v2_x-1", "2024", "딸" * 85])
def test_a_name_has_letters_and_digits_of_any_script(tmp_path: Path, name: str) -> None:
    put_model(tmp_path / name)
    assert (only(tmp_path).name, only(tmp_path).reason) == (name, "")


@pytest.mark.parametrize("name", ["딸기", "ünï", "が", "स्ट्रॉबेरी"])
def test_a_name_that_macos_wrote_is_told_composed(tmp_path: Path, name: str) -> None:
    folder = put_model(tmp_path / normalize("NFD", name))
    assert (only(tmp_path).name, only(tmp_path).folder) == (normalize("NFC", name), folder)


@pytest.mark.parametrize("name", ["two words", "-dash", "x" * 101, "a?b", "a:b", "딸기!", "\u0301a",
                                  "a\u200cb", "a\nb"])
def test_a_name_that_no_path_can_bear_is_listed_with_what_to_do(tmp_path: Path, name: str) -> None:
    put_model(tmp_path / name)
    assert (only(tmp_path).name, only(tmp_path).onnx) == (name, None)
    assert only(tmp_path).reason == ("rename the folder: letters and digits of any script, '.', '_' and '-', a letter "
                                     "or digit first, at most 100")


def test_a_name_that_is_no_text_is_listed_as_text(tmp_path: Path) -> None:
    put_model(Path(os.fsdecode(bytes(tmp_path) + b"/x\xfe")))
    assert only(tmp_path).name == r"x\xfe"
    assert "rename the folder" in only(tmp_path).reason



def test_models_are_listed_by_name_and_the_rest_is_passed_over(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        put_model(tmp_path / name)
    (tmp_path / "README.md").touch()
    assert [files.name for files in scan(tmp_path)] == ["a", "b"]


def test_a_missing_models_folder_holds_no_models(tmp_path: Path) -> None:
    assert scan(tmp_path / "absent") == []


# Files under any name


def put(path: Path, content: bytes = b"onnx") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("place", ["leaf/best.onnx", "leaf/model_quantized.onnx", "leaf/rfdetr-nano.onnx",
                                   "leaf/Best.ONNX", "leaf/딸기.onnx", "leaf/onnx/model.onnx",
                                   "leaf/onnx/leaf_q4.onnx"])
def test_the_only_onnx_file_of_a_folder_may_have_any_name(tmp_path: Path, place: str) -> None:
    onnx = put(tmp_path / place)
    files = only(tmp_path)
    assert (files.name, files.version, files.folder, files.onnx) == ("leaf", "1", tmp_path / "leaf", onnx)


def test_the_only_onnx_file_of_a_version_may_have_any_name(tmp_path: Path) -> None:
    first, second = put(tmp_path / "leaf" / "1" / "best.onnx"), put(tmp_path / "leaf" / "2" / "onnx" / "model.onnx")
    put(tmp_path / "leaf" / "2" / "config.json")
    assert [(found.version, found.onnx, found.folder) for found in scan(tmp_path)] == [
        ("1", first, tmp_path / "leaf"), ("2", second, tmp_path / "leaf" / "2")]


@pytest.mark.parametrize("folder", ["leaf", "leaf/onnx", "leaf/3"])
def test_of_several_onnx_files_the_plain_one_serves(tmp_path: Path, folder: str) -> None:
    for name in ("model_fp16.onnx", "best.onnx"):
        put(tmp_path / folder / name)
    plain = put(tmp_path / folder / MODEL_FILE)
    assert only(tmp_path).onnx == plain


@pytest.mark.parametrize(("folder", "version", "told"), [
    ("leaf", "1", "best.onnx, last.onnx"), ("leaf/onnx", "1", "onnx/best.onnx, onnx/last.onnx"),
    ("leaf/2", "2", "best.onnx, last.onnx")])
def test_several_onnx_files_without_a_plain_one_are_listed_with_what_to_do(tmp_path: Path, folder: str, version: str,
                                                                           told: str) -> None:
    """The version is told, so that one that served before goes on."""
    for name in ("best.onnx", "last.onnx"):
        put(tmp_path / folder / name)
    files = only(tmp_path)
    assert (files.onnx, files.version) == (None, version)
    assert files.reason == (f"several .onnx files, and none is model.onnx ({told}): name the one to serve model.onnx, "
                            "or move the others away")


def test_a_long_list_of_onnx_files_is_cut(tmp_path: Path) -> None:
    for number in range(6):
        put(tmp_path / "leaf" / f"{number}.onnx")
    assert "(0.onnx, 1.onnx, 2.onnx, 3.onnx and 2 more)" in only(tmp_path).reason


@pytest.mark.parametrize("name", ["._best.onnx", ".onnx", "best.onnx.part", "best.onnx.data", "best.onnx_data"])
def test_what_is_no_model_is_not_counted_as_one(tmp_path: Path, name: str) -> None:
    onnx = put(tmp_path / "leaf" / "best.onnx")
    put(tmp_path / "leaf" / name)
    put(tmp_path / name)
    assert only(tmp_path).onnx == onnx


def test_a_file_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    """As archives that were made on Korean Windows leave it."""
    (tmp_path / "leaf").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "leaf") + "/딸기.onnx".encode("cp949"))).touch()
    assert only(tmp_path).reason == (r"the name of its file, \xb5\xfe\xb1\xe2.onnx, is not UTF-8: rename it to "
                                     "model.onnx")


# Side files


@pytest.mark.parametrize("name", SIDE_FILES)
def test_side_files_lie_one_level_above_an_onnx_folder(tmp_path: Path, name: str) -> None:
    put(tmp_path / "leaf" / "onnx" / MODEL_FILE)
    put(tmp_path / "leaf" / "onnx" / name)
    assert only(tmp_path).folder == tmp_path / "leaf" / "onnx"  # those inside count where there are no others
    put(tmp_path / "leaf" / name)
    assert only(tmp_path).folder == tmp_path / "leaf"


@pytest.mark.parametrize("name", SIDE_FILES)
def test_every_side_file_above_an_onnx_folder_is_part_of_the_model(tmp_path: Path, name: str) -> None:
    put(tmp_path / "leaf" / "onnx" / MODEL_FILE)
    before, fingerprint = only(tmp_path), Fingerprints().of(only(tmp_path))
    put(tmp_path / "leaf" / name)
    assert only(tmp_path).stamp != before.stamp
    assert Fingerprints().of(only(tmp_path)) != fingerprint


def test_what_hooks_may_read_is_part_of_the_model(tmp_path: Path) -> None:
    put(tmp_path / "leaf" / "1" / MODEL_FILE)
    put(tmp_path / "leaf" / "table.npy", b"1")
    fingerprint = Fingerprints().of(only(tmp_path))
    put(tmp_path / "leaf" / "table.npy", b"2")
    assert Fingerprints().of(only(tmp_path)) == fingerprint
    put(tmp_path / "leaf" / "hooks.py")
    fingerprint = Fingerprints().of(only(tmp_path))
    put(tmp_path / "leaf" / "table.npy", b"3")
    assert Fingerprints().of(only(tmp_path)) != fingerprint


@pytest.mark.parametrize("name", ["model_fp16.onnx", "model_fp16.onnx_data", "model_fp16.onnx.data", "._model.onnx",
                                  ".DS_Store"])
def test_another_model_file_and_its_weights_do_not_change_the_one_that_serves(tmp_path: Path, name: str) -> None:
    for file in (MODEL_FILE, "model.onnx_data", "model_fp16.onnx"):
        put(tmp_path / "leaf" / "onnx" / file)
    before, fingerprint = only(tmp_path), Fingerprints().of(only(tmp_path))
    put(tmp_path / "leaf" / "onnx" / name, b"changed")
    assert (only(tmp_path), Fingerprints().of(only(tmp_path))) == (before, fingerprint)


def test_weights_written_in_another_form_of_unicode_are_the_same(tmp_path: Path) -> None:
    name = "딸기.onnx.data"
    for models, written in (("here", name), ("there", normalize("NFD", name))):
        put(tmp_path / models / "leaf" / MODEL_FILE)
        put(tmp_path / models / "leaf" / written, b"weights")
    assert Fingerprints().of(only(tmp_path / "here")) == Fingerprints().of(only(tmp_path / "there"))


# Bare files


@pytest.mark.parametrize("file", ["leaf.onnx", "leaf.ONNX"])
def test_a_bare_file_is_a_model_without_side_files(tmp_path: Path, file: str) -> None:
    onnx = put(tmp_path / file)
    put(tmp_path / "config.json")
    put(tmp_path / "labels.txt")
    files = only(tmp_path)
    assert (files.name, files.version, files.onnx, files.is_bare) == ("leaf", "1", onnx, True)
    assert not any((files.folder / name).is_file() for name in SIDE_FILES)


@pytest.mark.parametrize("data", ["leaf.onnx.data", "leaf.onnx_data", "weights.bin"])
def test_weights_beside_a_bare_file_are_part_of_it(tmp_path: Path, data: str) -> None:
    put(tmp_path / "leaf.onnx")
    put(tmp_path / data, b"1")
    before, fingerprint = only(tmp_path), Fingerprints().of(only(tmp_path))
    put(tmp_path / data, b"2")
    assert only(tmp_path).stamp != before.stamp
    assert Fingerprints().of(only(tmp_path)) != fingerprint


@pytest.mark.parametrize("name", ["moon.onnx", "moon.onnx.data", "moon/model.onnx", "labels.txt", "README.md"])
def test_what_belongs_to_others_does_not_change_a_bare_file(tmp_path: Path, name: str) -> None:
    put(tmp_path / "leaf.onnx")
    put(tmp_path / "moon.onnx")
    before = scan(tmp_path)[0]
    fingerprint = Fingerprints().of(before)
    put(tmp_path / name, b"changed")
    assert scan(tmp_path)[0] == before
    assert Fingerprints().of(before) == fingerprint


def test_a_bare_files_name_is_checked_as_a_folders(tmp_path: Path) -> None:
    put(tmp_path / "two words.onnx")
    assert (only(tmp_path).name, only(tmp_path).onnx) == ("two words", None)
    assert "rename the file" in only(tmp_path).reason


def test_a_reason_says_where_a_bare_files_side_files_go(tmp_path: Path) -> None:
    put(tmp_path / "leaf.onnx")
    put(tmp_path / "moon" / MODEL_FILE)
    bare, other = scan(tmp_path)
    assert bare.placed("write it in model.toml") == "write it in model.toml (first move leaf.onnx into a folder leaf)"
    assert bare.placed("it is empty") == "it is empty"
    assert other.placed("write it in model.toml") == "write it in model.toml"


# One name twice


def test_a_folder_goes_before_a_bare_file_of_its_name(tmp_path: Path) -> None:
    put(tmp_path / "leaf.onnx")
    put(tmp_path / "leaf" / "2" / MODEL_FILE)
    second, serving = scan(tmp_path)
    assert (serving.key, serving.onnx) == (("leaf", 2), tmp_path / "leaf" / "2" / MODEL_FILE)
    assert (second.key, second.reason) == (("leaf", 0), "the folder leaf has this name too, and goes first: rename or "
                                                        "remove the file leaf.onnx")


def test_a_folder_without_a_model_keeps_no_bare_file_from_serving(tmp_path: Path) -> None:
    """Somebody is about to move it there."""
    put(tmp_path / "leaf.onnx")
    put(tmp_path / "leaf" / "model.toml")
    refused, serving = scan(tmp_path)
    assert (serving.key, serving.is_bare) == (("leaf", 1), True)
    assert (refused.key, refused.reason) == (("leaf", 0), "no .onnx file in the folder: put the model there")


def test_two_forms_of_one_name_are_one_model_and_a_reason(tmp_path: Path) -> None:
    for name in (normalize("NFD", "딸기"), "딸기"):
        put(tmp_path / name / MODEL_FILE)
    second, serving = scan(tmp_path)
    assert (serving.name, serving.onnx) == ("딸기", tmp_path / "딸기" / MODEL_FILE)
    assert (second.key, "Unicode's form alone" in second.reason) == (("딸기", 0), True)


@pytest.mark.parametrize("name", ["model.onnx", "labels.txt", "weights.bin"])
def test_a_link_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder, elsewhere = tmp_path / "models" / "leaf", tmp_path / "elsewhere"
    for file in (folder / "model.onnx", elsewhere):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(elsewhere)
    [files] = scan(tmp_path / "models")
    assert (files.onnx, f"{name} is a link that leads out of the folder: copy" in files.reason) == (None, True)


def test_links_inside_the_folder_and_a_folder_that_is_a_link_are_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    (real / "1").mkdir(parents=True)
    (real / "blob").write_bytes(b"x")
    (real / "1" / "model.onnx").symlink_to("../blob")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "leaf").symlink_to(real)
    [files] = scan(tmp_path / "models")
    assert (files.reason, files.version) == ("", "1")
