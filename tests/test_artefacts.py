"""The store of versioned artefacts."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from citrus_grade import artefacts
from citrus_grade.artefacts import ArtefactError, load, save

CARD = {"name": "温州", "limits": [1.5, 2], "made_from": {"lot 7": 60}}
ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], np.int32)}


@pytest.fixture
def stored(tmp_path):
    folder = tmp_path / "models" / "one"
    return folder, save(folder, "spectral-model", CARD, ARRAYS)


def test_what_is_saved_comes_back(stored):
    folder, artefact_id = stored
    artefact = load(folder, "spectral-model")
    assert (artefact.id, artefact.kind, artefact.card) == (artefact_id, "spectral-model", CARD)
    assert artefact.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(artefact.arrays[name], array, strict=True)
        assert not artefact.arrays[name].flags.writeable
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "card.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_the_same_content_gives_the_same_bytes_and_id(stored, tmp_path):
    folder, artefact_id = stored
    other = tmp_path / "other"
    mixed = {"b": ARRAYS["b"].astype(">i4").astype("<i4"), "a": np.asfortranarray(ARRAYS["a"])}
    assert save(other, "spectral-model", dict(reversed(CARD.items())), mixed) == artefact_id
    for name in ("card.json", "arrays.npz"):
        assert (other / name).read_bytes() == (folder / name).read_bytes()


@given(arrays_of.arrays(np.float64, arrays_of.array_shapes(max_dims=3, max_side=4)), st.text(max_size=5))
def test_every_bit_counts_toward_the_id(tmp_path_factory, array, text):
    folder = tmp_path_factory.mktemp("bits")
    changed = array.copy()
    changed.view(np.uint8).flat[0] ^= 1
    ids = {
        save(folder / "1", "k", {"text": text}, {"x": array}),
        save(folder / "2", "k", {"text": text}, {"x": changed}),
        save(folder / "3", "k", {"text": text + "!"}, {"x": array}),
        save(folder / "4", "kk", {"text": text}, {"x": array}),
    }
    assert len(ids) == 4
    assert load(folder / "1", "k").arrays["x"].tobytes() == array.tobytes()


def test_saving_again_is_harmless_and_another_artefact_is_never_overwritten(stored):
    folder, artefact_id = stored
    assert save(folder, "spectral-model", CARD, ARRAYS) == artefact_id
    with pytest.raises(ArtefactError, match="never overwritten; choose a new folder"):
        save(folder, "spectral-model", CARD | {"name": "other"}, ARRAYS)
    assert load(folder, "spectral-model").id == artefact_id


def test_a_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(artefacts.os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        save(tmp_path / "one", "k", CARD, ARRAYS)
    assert list(tmp_path.iterdir()) == []


def damage_array(folder):
    data = bytearray((folder / "arrays.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "arrays.npz").write_bytes(data)


def truncate_array(folder):
    (folder / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes()[:-30])


def edit_card(folder):
    text = (folder / "card.json").read_text(encoding="utf-8")
    (folder / "card.json").write_text(text.replace("1.5", "1.6"), encoding="utf-8")


def truncate_card(folder):
    (folder / "card.json").write_bytes((folder / "card.json").read_bytes()[:40])


def rewrite(**change):
    def edit(folder):
        body = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        (folder / "card.json").write_text(json.dumps(body | change), encoding="utf-8")

    return edit


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage_array, "do not match the id"),
        (truncate_array, "do not match the id"),
        (edit_card, "do not match the id"),
        (truncate_card, r"card\.json: is not JSON"),
        (lambda folder: (folder / "arrays.npz").unlink(), r"arrays\.npz: cannot be read"),
        (lambda folder: (folder / "card.json").unlink(), r"card\.json: cannot be read"),
        (rewrite(format=2), "format 2, this program reads up to 1; update"),
        (rewrite(kind="calibration-set"), "is a calibration-set, not a spectral-model"),
        (rewrite(id="0" * 16), "do not match the id 0000"),
        (rewrite(extra=1), "not an artefact's card"),
        (lambda folder: (folder / "card.json").write_text("[]"), "not an artefact's card"),
    ],
)
def test_what_is_not_whole_is_refused(stored, harm, message):
    folder, _ = stored
    harm(folder)
    with pytest.raises(ArtefactError, match=message) as caught:
        load(folder, "spectral-model")
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("card", "arrays", "message"),
    [
        ({"limit": float("nan")}, {}, "no JSON form"),
        ({"limit": {1, 2}}, {}, "no JSON form"),
        ({}, {"names": np.array(["a", None], dtype=object)}, "array names holds Python objects"),
    ],
)
def test_content_without_an_exact_form_is_refused(tmp_path, card, arrays, message):
    with pytest.raises(ArtefactError, match=message):
        save(tmp_path / "one", "k", card, arrays)
    assert not (tmp_path / "one").exists()
