"""What the predictors' parent lists, as other processes read it."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest

from inference.errors import ModelLoading, ModelNotFound
from inference.registry import Entry
from inference.workload import first_guess, running_part
from predictors.catalogue import Catalogue, Listing, write
from tests.unit.fake_predictors import DECODING, LEAF, LISTING


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.json"


def version(number: str, state: str = "ready", reason: str = "") -> Entry:
    model = replace(LEAF, spec=replace(LEAF.spec, version=number)) if state == "ready" else None
    return Entry("leaf", number, state, reason, model)  # type: ignore[arg-type]


def listed(path: Path, *entries: Entry) -> Catalogue:
    write(path, Listing(entries))
    return Catalogue(path)


def test_nothing_is_served_before_the_first_list(path: Path) -> None:
    catalogue = Catalogue(path)
    assert (catalogue.exists, catalogue.is_ready, list(catalogue.entries), catalogue.seeds) == (False, False, [], [])
    with pytest.raises(ModelNotFound, match="no model 'leaf'; there is: none"):
        catalogue.model("leaf")
    write(path, LISTING)
    assert (catalogue.exists, catalogue.is_ready) == (True, True)


def test_what_was_written_is_read(path: Path) -> None:
    write(path, LISTING)
    assert Catalogue(path).entries == LISTING.entries
    assert Catalogue(path).model("leaf") == LEAF


def test_seeds_are_what_decoding_and_each_models_warm_up_took(path: Path) -> None:
    write(path, LISTING)
    seeds = dict(Catalogue(path).seeds)
    assert seeds["decode PNG"] == DECODING
    assert seeds[running_part(LEAF)] == first_guess(LEAF)
    assert len(seeds) == 4  # two ways of decoding, two models that are served


def test_the_highest_version_that_is_ready_has_the_models_name(path: Path) -> None:
    catalogue = listed(path, version("1"), version("2"), version("10"), version("11", "failed", "broken"),
                       version("12", "loading"))
    assert catalogue.model("leaf").spec.version == "10"
    assert catalogue.model("leaf:2").spec.version == "2"
    assert catalogue.entry("leaf:11").state == "failed"


@pytest.mark.parametrize(("name", "error", "told"), [
    ("moon", ModelNotFound, "no model 'moon'; there is: embedder, late, leaf$"),
    ("leaf:2", ModelNotFound, "no model 'leaf:2'"),
    ("empty", ModelNotFound, "model 'empty' cannot be served: model.onnx is empty"),
    ("late", ModelLoading, "model 'late' is still being loaded")])
def test_a_model_that_does_not_serve_says_why(path: Path, name: str, error: type[Exception], told: str) -> None:
    write(path, LISTING)
    with pytest.raises(error, match=told):
        Catalogue(path).model(name)


def test_a_model_without_a_version_is_found_by_its_name(path: Path) -> None:
    """Its folder holds no model file."""
    assert listed(path, Entry("leaf", "", "failed", "put the model there")).entry("leaf").state == "failed"


def test_a_file_that_was_replaced_is_read_again(path: Path) -> None:
    catalogue = listed(path, version("1"))
    assert (catalogue.model("leaf").spec.version, catalogue.revision) == ("1", 1)
    assert (len(catalogue.entries), catalogue.revision) == (1, 1)
    write(path, Listing([version("1"), version("2")]))
    assert (catalogue.model("leaf").spec.version, catalogue.revision) == ("2", 2)


def test_a_list_that_is_gone_stays_as_it_was_read(path: Path) -> None:
    catalogue = listed(path, version("1"))
    assert catalogue.exists
    path.unlink()
    assert catalogue.model("leaf").spec.version == "1"


def test_a_list_is_replaced_as_a_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads meanwhile sees the one before."""
    catalogue = listed(path, version("1"))
    seen: list[str] = []
    replace_file = os.replace

    def watched(source: Path, target: Path) -> None:
        seen.append(catalogue.model("leaf").spec.version)
        replace_file(source, target)

    monkeypatch.setattr(Path, "replace", watched)
    write(path, Listing([version("2")]))
    assert seen == ["1"]
    assert catalogue.model("leaf").spec.version == "2"
    assert [file.name for file in path.parent.iterdir()] == ["catalogue.json"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_both_forms_of_unicode(path: Path, form: Literal["NFC", "NFD"]) -> None:
    korean = Entry("딸기", "1", "ready", model=replace(LEAF, spec=replace(LEAF.spec, name="딸기")))
    catalogue = listed(path, korean)
    assert catalogue.entry(normalize(form, "딸기")) == catalogue.entry(normalize(form, "딸기:1")) == korean
