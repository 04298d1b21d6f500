"""Help pages in the language set, laid out alike for every verb."""

import difflib
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from citrus_grade.words import N_, _

EXIT_CODES = (
    (0, N_("done, nothing to report")),
    (1, N_("done, and something differs or was found")),
    (2, N_("bad input: command line, file or folder")),
    (3, N_("a fault of this program")),
)


class Verb(TyperCommand):
    """A verb whose help is `page`."""

    # click's own types stay behind Any: typer keeps them private.
    def format_help(self, ctx: Any, formatter: Any) -> None:
        page(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True  # so that the complaint is ours, in the language set
        extra = super().parse_args(ctx, args)
        if extra:
            raise typer.BadParameter(_("nothing is known of {words!r} here; see --help").format(words=" ".join(extra)))
        return extra


class Verbs(TyperGroup):
    """A group of verbs; without a verb it shows its help, and a mistyped verb brings the nearest known one."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        page(self, ctx)

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False  # None would be validated, and pydantic loaded, on the way to every verb's help
        return option

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, *_rest = args
        if name not in self.commands:
            near = difflib.get_close_matches(name, self.commands, n=1)
            text = _("there is no verb {name!r}").format(name=name)
            raise typer.BadParameter(text + (_("; did you mean {near!r}?").format(near=near[0]) if near else ""))
        return super().resolve_command(ctx, args)


def page(command: Any, ctx: Any) -> None:
    """Print the help of ``command``."""
    from rich.console import Console
    from rich.padding import Padding

    console = Console(highlight=False)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.get_params(ctx) if p.param_type_name == "option" and not p.hidden]
    verbs = getattr(command, "commands", {})
    heading, usage = _("Usage"), _usage(arguments, bool(verbs))
    console.print(f"\n[bold]{heading}:[/] {ctx.command_path} {usage}\n", soft_wrap=True)
    console.print(Padding(_text(command), (0, 2, 1, 2)))
    _section(console, _("Verbs"), [(name, _text(verb).partition("\n")[0]) for name, verb in verbs.items()])
    _section(console, _("Arguments"), [(_metavar(p), _describe(p)) for p in arguments])
    language = ("--lang en|zh", _("Language; otherwise that of LC_ALL, LC_MESSAGES or LANG."))
    _section(console, _("Options"), [*((_switch(p), _describe(p)) for p in options), language])
    _section(console, _("Exit codes"), [(str(code), _(text)) for code, text in EXIT_CODES])
    _section(console, _("Examples"), [(example, "") for example in (command.epilog or "").splitlines()])


def _section(console: Any, title: str, rows: list[tuple[str, str]]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name, "cyan"), Text(text))
    console.print(f"[bold]{title}[/]")
    console.print(Padding(table, (0, 2, 1, 2)))


def _usage(arguments: list[Any], has_verbs: bool) -> str:
    pieces = [_("VERB ...")] if has_verbs else []
    pieces += [_metavar(p) if p.required else rf"\[{_metavar(p)}]" for p in arguments]
    options = _("options")
    return " ".join([*pieces, rf"\[{options}]"])


def _text(thing: Any) -> str:
    return _(thing.help) if thing.help else ""


def _metavar(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _switch(param: Any) -> str:
    names = ", ".join(param.opts)
    return names if param.is_flag else f"{names} {_metavar(param)}"


def _describe(param: Any) -> str:
    text = _("Show this page.") if param.name == "help" else _text(param)
    if param.default is None or isinstance(param.default, bool):
        return text
    return text + _(" Default: {value}.").format(value=param.default)
