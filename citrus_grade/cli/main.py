"""``citrus-grade``: the verbs together, the language, and the one place where errors become words and exit codes."""

import os
import sys
from collections.abc import Sequence

import typer

from citrus_grade.cli import (
    calibrate,
    control,
    demo,
    doctor,
    emulate,
    errors,
    evaluate,
    harmony,
    init,
    label,
    log,
    measure,
    models,
    models_onnx,
    out,
    predict,
    replay,
    run,
    show,
    simulate,
    status,
    train,
    train_spectra,
    transfer,
    upkeep,
    version,
)
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.giving_way import HEAVY, give_way
from citrus_grade.cli.help import Verb, Verbs
from citrus_grade.words import LANGUAGES, N_, _, language_of, set_language

app = typer.Typer(
    cls=Verbs,
    add_completion=False,
    help=N_("Open software of a citrus grading line: fruit in, grade out, outlet fired, every run recorded and replayed."),
    epilog="citrus-grade demo\ncitrus-grade init my-line && citrus-grade doctor my-line/line.toml\ncitrus-grade replay --help",
)


for module in (
    demo,
    init,
    simulate,
    run,
    status,
    label,
    emulate,
    replay,
    measure,
    predict,
    evaluate,
    harmony,
    control,
    upkeep,
    transfer,
):
    app.command(module.__name__.rpartition(".")[2], cls=Verb, help=module.HELP, epilog=module.EXAMPLES)(module.verb)
app.add_typer(calibrate.app, name="calibrate", cls=Verbs, help=calibrate.HELP, epilog=calibrate.EXAMPLES)
app.add_typer(train_spectra.app, name="train", cls=Verbs, help=train.HELP, epilog=train.EXAMPLES)
app.add_typer(models_onnx.app, name="models", cls=Verbs, help=models.HELP, epilog=models.EXAMPLES)
app.add_typer(log.app, name="log", cls=Verbs, help=log.HELP, epilog=log.EXAMPLES)
for module in (show, doctor, version):
    app.command(module.__name__.rpartition(".")[2], cls=Verb, help=module.HELP, epilog=module.EXAMPLES)(module.verb)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    set_language(language_of(os.environ))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without Chinese shows ? instead of failing
    try:
        args = _obey_language(args)
        if argv is None and HEAVY.intersection(args[:1]):  # the program itself, not somebody who calls it
            give_way()
        return typer.main.get_command(app)(args, prog_name="citrus-grade", standalone_mode=False) or errors.DONE
    except Exception as error:
        failure = errors.explain(error)
        out.errors([_("error: {problem}").format(problem=failure.problems[0]), *failure.problems[1:]])
        if "--json" in args:
            out.as_json(failure.to_dict())
        return failure.code


def _obey_language(args: list[str]) -> list[str]:
    """Take ``--lang`` out, wherever it stands, before a word is said; every verb has it."""
    rest, words = [], iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if name != "--lang":
            rest.append(word)
            continue
        language = value if equals else next(words, "")
        if language not in LANGUAGES:
            raise BadInput(_("--lang: {value!r} is none of {names}").format(value=language, names=", ".join(LANGUAGES)))
        set_language(language)
    return rest
