"""Labelled batches in, a new calibration set out."""

from pathlib import Path

from citrus_grade import artefacts
from citrus_grade.calibration_set import KIND
from citrus_grade.models import colour


def train_colour(pixels: Path, calibration: Path, classifier: str, out: Path) -> tuple[colour.Baked, str]:
    """Fit the colour table on labelled pixels and write a calibration set that holds it; return it and the set's id.

    Raises
    ------
    ColourError, ArtefactError : what cannot be used, with the place and the remedy; nothing is written then.
    """
    present = artefacts.load(calibration, KIND)
    labelled = colour.read_pixels(pixels)
    baked = colour.fit_colour(labelled, colour.classifier(classifier))
    card = dict(present.card) | {
        "colour": {
            "classifier": classifier,
            "pixels": len(labelled.rgb),
            "groups": len(set(labelled.group.tolist())),
            "held_out_accuracy": round(baked.accuracy, 4),
            "from": present.id,
        }
    }
    return baked, artefacts.save(out, KIND, card, dict(present.arrays) | {"colour": baked.lut})
