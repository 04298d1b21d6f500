"""The store of versioned artefacts: model bundles and calibration sets, each a folder that its content names.

A folder holds ``card.json`` (what it is, in words and numbers) and ``arrays.npz``. The id is the first 16 hex digits of the
SHA-256 of both, so a decision that names the id names every bit behind it. Nothing is pickled.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.words import _

FORMAT: Final = 1
CARD: Final = "card.json"
ARRAYS: Final = "arrays.npz"
_ZIP_EPOCH: Final = (1980, 1, 1, 0, 0, 0)

Json = Any  # a JSON value; what a card holds is its kind's affair
Arrays = Mapping[str, NDArray[Any]]


class ArtefactError(Exception):
    """An artefact that cannot be saved or must not be used; the message says which file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Artefact:
    """A loaded artefact; ``arrays`` are read-only."""

    id: str
    kind: str
    card: Mapping[str, Json]
    arrays: Arrays


def save(folder: Path, kind: str, card: Mapping[str, Json], arrays: Arrays) -> str:
    """Write an artefact so that ``folder`` holds all of it or does not exist; return its id.

    The same content gives the same bytes. Saving it again is harmless; another artefact is never overwritten.

    Raises
    ------
    ArtefactError : the folder is taken, or the content has no exact form (objects, NaN in the card).
    """
    npz = _npz_bytes(folder, arrays)
    body = {"format": FORMAT, "kind": kind, "card": dict(card)}
    artefact_id = _identify(_card_bytes(folder, body), npz)
    if folder.exists() and any(folder.iterdir()):
        if load(folder, kind).id == artefact_id:
            return artefact_id
        raise ArtefactError(
            _("{folder}: holds another artefact, and artefacts are never overwritten; choose a new folder").format(folder=folder)
        )
    _write_whole(folder, {ARRAYS: npz, CARD: _card_bytes(folder, {**body, "id": artefact_id})})
    return artefact_id


def load(folder: Path, kind: str) -> Artefact:
    """Read an artefact and prove that it is whole.

    Raises
    ------
    ArtefactError : missing, damaged, changed by hand, of another kind, or from a newer version of the program.
    """
    body = _read_card(folder / CARD)
    if body["kind"] != kind:
        raise ArtefactError(
            _("{path}: is a {found}, not a {kind}; give the folder of a {kind}").format(
                path=folder / CARD, found=body["kind"], kind=kind
            )
        )
    npz = _read(folder / ARRAYS)
    artefact_id = str(body.pop("id"))
    if _identify(_card_bytes(folder, body), npz) != artefact_id:
        raise ArtefactError(
            _("{folder}: {card} and {arrays} do not match the id {id}; one of them changed: copy the artefact again").format(
                folder=folder, card=CARD, arrays=ARRAYS, id=artefact_id
            )
        )
    return Artefact(artefact_id, kind, body["card"], _read_arrays(folder / ARRAYS, npz))


def _identify(card: bytes, npz: bytes) -> str:
    return hashlib.sha256(card + b"\0" + npz).hexdigest()[:16]


def _card_bytes(folder: Path, body: Mapping[str, Json]) -> bytes:
    try:
        text = json.dumps(body, sort_keys=True, ensure_ascii=False, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtefactError(f"{folder / CARD}: the card has no JSON form ({error}); use text, finite numbers, lists") from error
    return text.encode() + b"\n"


def _npz_bytes(folder: Path, arrays: Arrays) -> bytes:
    """An ``.npz`` without clock or platform in it: names sorted, little-endian, stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            if array.dtype.hasobject:
                raise ArtefactError(f"{folder / ARRAYS}: array {name} holds Python objects; store numbers or fixed-width text")
            part = io.BytesIO()
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            np.lib.format.write_array(part, little, version=(1, 0), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            entry.create_system = 3  # the same bytes whatever wrote them
            archive.writestr(entry, part.getvalue())
    return buffer.getvalue()


def _write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in files.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        draft.chmod(0o755)
        _sync_folder(draft)
        os.replace(draft, folder)  # noqa: PTH105 - Path.replace is the same call; os names the guarantee
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(
            _("{path}: cannot be read ({why}); give a folder with {card} and {arrays}").format(
                path=path, why=error.strerror, card=CARD, arrays=ARRAYS
            )
        ) from error


def _read_card(path: Path) -> dict[str, Json]:
    try:
        body = json.loads(_read(path))
    except ValueError as error:
        raise ArtefactError(
            _("{path}: is not JSON ({why}); it was damaged: copy the artefact again").format(path=path, why=error)
        ) from error
    version = body.get("format") if isinstance(body, dict) else None
    if isinstance(version, int) and version > FORMAT:
        raise ArtefactError(
            _("{path}: has format {version}, this program reads up to {format}; update citrus-grade").format(
                path=path, version=version, format=FORMAT
            )
        )
    if version != FORMAT or body.keys() != {"format", "kind", "id", "card"}:
        raise ArtefactError(_("{path}: is not an artefact's card; give a folder written by citrus-grade").format(path=path))
    return dict(body)


def _read_arrays(path: Path, npz: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(npz), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ArtefactError(
            _("{path}: cannot be unpacked ({why}); copy the artefact again").format(path=path, why=error)
        ) from error
    for array in arrays.values():
        array.flags.writeable = False
    return arrays
