"""Labelled batches in, a new calibration set out."""

from collections.abc import Callable
from pathlib import Path

from citrus_grade import artefacts
from citrus_grade.calibration_set import KIND
from citrus_grade.grading import classifier
from citrus_grade.models import colour
from citrus_grade.models.grades import GradeReport, fit_grades
from citrus_grade.models.labels import read_labels


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


def train_grade(
    labels: Path,
    class_column: str,
    out: Path,
    *,
    group: str | None = None,
    second: str | None = None,
    order: tuple[str, ...] = (),
    family: str = "auto",
    progress: Callable[[float, float], None] | None = None,
) -> tuple[GradeReport, str]:
    """Fit a grade classifier to labelled fruit and write it; return how well it grades lots it has not seen, and its id.

    Parameters
    ----------
    labels, class_column, group, second, order : as `labels.read_labels`. family : one of `grades.FAMILIES`, or auto.
    progress : called with families done and families in all.

    Raises
    ------
    LabelError, ArtefactError : what cannot be used, with the place and the remedy; nothing is written then.
    """
    labelled = read_labels(labels, class_column, group, second, order)
    model, report = fit_grades(labelled, family, progress)
    return report, artefacts.save(out, classifier.KIND, *classifier.to_artefact(model))
