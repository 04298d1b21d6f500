"""``citrus-grade models import`` and ``export``: ONNX files made bundles, and bundles made ONNX files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.help import Verb
from citrus_grade.cli.models import app as app
from citrus_grade.cli.options import Json, choice, whole
from citrus_grade.cli.source import Bundle, Group, Id, KindOption, Matrix, Table
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IMPORT = (
    "citrus-grade models import forest.onnx fruit.csv --target ssc_brix --group lot --out model\n"
    "citrus-grade models import net.onnx fruit.csv --wavelengths 700:1000:2 --scatter snv --target ssc_brix"
    " --original net_says --out model"
)


@app.command(
    "import",
    cls=Verb,
    help=N_(
        "Make a bundle of a model that another program made and saved as ONNX.\n\n"
        "The graph takes absorbance, prepared as the options say, and gives a value a fruit. The table's fruit must be others"
        " than those the model was made from: its error, its interval of 90 % and its domain are read from them. With --original"
        " every value is compared with what the original model says. The bundle keeps 16 fruit and is refused wherever it says"
        " something else of them. Needs onnxruntime: pip install 'citrus-grade[onnx]'."
    ),
    epilog=IMPORT,
)
def take_in(
    graph: Annotated[Path, typer.Argument(metavar="MODEL.onnx", help=N_("ONNX file, all its weights in it."))],
    table: Table,
    target: Annotated[
        list[str], typer.Option("--target", metavar="COL", help=N_("Column of reference values; twice for two of them."))
    ],
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New folder for the model."))],
    wavelengths: Annotated[
        str | None,
        typer.Option(
            "--wavelengths", metavar="NM:NM:STEP|FILE", help=N_("What the graph takes, a file one a line; otherwise the table's.")
        ),
    ] = None,
    scatter: Annotated[
        str,
        typer.Option(
            "--scatter", parser=choice("none", "snv"), metavar="none|snv", help=N_("What the spectra go through first.")
        ),
    ] = "none",
    points: Annotated[
        int, typer.Option("--points", parser=whole(1), metavar="N", help=N_("Then a quadratic Savitzky-Golay filter so wide."))
    ] = 1,
    derivative: Annotated[
        int, typer.Option("--derivative", parser=whole(0), metavar="0|1|2", help=N_("Which derivative that filter takes."))
    ] = 0,
    original: Annotated[
        list[str] | None,
        typer.Option("--original", metavar="COL", help=N_("Column of what the original model says, once per target.")),
    ] = None,
    group: Group = None,
    kind: KindOption = None,
    matrix: Matrix = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Take in, tell, write bundle."""
    from citrus_grade.runtime.plugging import Wanted
    from citrus_grade.runtime.plugging import take_in as make
    from citrus_grade.runtime.spectral import Source

    if original and len(original) != len(target):
        raise BadInput(_("--original: give it once for each --target, or not at all"))
    if derivative > 2 or (points == 1 and derivative) or (points > 1 and (points < 5 or points % 2 == 0)):
        raise BadInput(_("--points must be odd and at least 5, and --derivative 0, 1 or 2 of such a filter"))
    wanted = Wanted(None if wavelengths is None else _axis(wavelengths), scatter, points, derivative)
    source = Source(table, matrix, None, group, id_column, kind)  # type: ignore[arg-type]  # parsed by choice
    model, found, model_id = make(graph, wanted, source, target, original or (), to)
    told: dict[str, Any] = {
        "model_id": model_id,
        "n": model.training["n"],
        "rmse": {one.name: one.sigma for one in model.targets},
        "checked_against": model.training["checked_against"],
        "written": [str(to)],
    }
    if as_json:
        out.as_json(told)
        return errors.DONE
    for one in model.targets:
        text = _("{name}: RMSE {rmse:.3g} {unit} on {n} fruit; it holds if the model was made from none of them")
        out.text(text.format(name=one.name, rmse=one.sigma, unit=one.unit, n=len(found[0].ids)), "bold")
    if not original:
        out.text(_("compared with nothing but itself: give --original COL, what the original model says"), "yellow")
    out.text(_("written: {path}").format(path=to))
    return errors.DONE


@app.command(
    "export",
    cls=Verb,
    help=N_(
        "Write a model as an ONNX graph that other programs can run: absorbance in, values, intervals, T2 and Q out.\n\n"
        "All is in doubles. Before the file is written, what onnxruntime makes of it is compared with the bundle (1e-9 of the"
        " largest value). Needs onnx and onnxruntime: pip install 'citrus-grade[onnx]'."
    ),
    epilog="citrus-grade models export model --onnx model.onnx\n"
    "citrus-grade models export model --onnx lane-3.onnx --lane 3 --wavelengths 680:1020:1.5",
)
def hand_out(
    bundle: Bundle,
    to: Annotated[Path, typer.Option("--onnx", metavar="FILE", help=N_("New ONNX file."))],
    lane: Annotated[
        str, typer.Option("--lane", metavar="LANE", help=N_("Lane whose correction is written in; otherwise that of all others."))
    ] = "",
    wavelengths: Annotated[
        str | None,
        typer.Option(
            "--wavelengths",
            metavar="NM:NM:STEP|FILE",
            help=N_("What the graph is to take, a file one a line; otherwise the model's."),
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Write a graph."""
    from citrus_grade.models.onnx_export import AGREE, OUTPUTS, to_onnx
    from citrus_grade.runtime.spectral import load_bundle
    from citrus_grade.runtime.writing import write_whole

    if to.exists():
        raise BadInput(_("{path}: exists already; name a new file").format(path=to))
    model, model_id = load_bundle(bundle)
    axis = model.wavelength_nm if wavelengths is None else _axis(wavelengths)
    try:
        onnx = to_onnx(model, lane, axis)
    except ValueError as error:
        raise BadInput(f"{bundle}: {error}") from error
    write_whole(to, onnx)
    if as_json:
        out.as_json({"model_id": model_id, "wavelength_nm": axis.tolist(), "outputs": list(OUTPUTS), "written": [str(to)]})
        return errors.DONE
    if model.training.get("SIMULATED"):
        out.text(_("SIMULATED: made from simulated fruit"), "bold red")
    text = _("model {id}: takes absorbance at {n} wavelengths from {first:g} to {last:g} nm; agrees within {off:g}")
    out.text(text.format(id=model_id, n=len(axis), first=axis[0], last=axis[-1], off=AGREE))
    out.text(_("written: {path}").format(path=to))
    return errors.DONE


def _axis(text: str) -> "NDArray[np.float64]":
    """Return the wavelengths that an option names."""
    import numpy as np

    try:
        if Path(text).is_file():
            found = np.loadtxt(text, np.float64, ndmin=1)
        else:
            first, last, step = map(float, text.split(":"))
            found = first + step * np.arange(int((last - first) / step + 1e-9) + 1, dtype=np.float64)
    except (ValueError, ZeroDivisionError, OverflowError):
        found = np.zeros(0)
    if found.ndim != 1 or len(found) < 4 or not (found[0] > 0 and (np.diff(found) > 0).all()):
        raise BadInput(_("--wavelengths: {text!r} is no axis such as 700:1000:2, nor a file of rising numbers").format(text=text))
    return found
