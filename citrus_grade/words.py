"""Words for people, in English or Chinese: one gettext catalogue for the whole program. Imports only the standard library."""

import gettext
from collections.abc import Mapping
from pathlib import Path

LANGUAGES = ("en", "zh")
DOMAIN = "citrus_grade"
LOCALES = Path(__file__).with_name("locale")

_catalogue: gettext.NullTranslations = gettext.NullTranslations()


def set_language(language: str) -> None:
    """Speak ``language``, one of `LANGUAGES`, from now on."""
    global _catalogue
    _catalogue = gettext.translation(DOMAIN, LOCALES, [language], fallback=language == "en")


def language_of(environment: Mapping[str, str]) -> str:
    """Return the language a POSIX environment asks for: the first of LC_ALL, LC_MESSAGES and LANG that is set."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environment.get(name))), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def _(message: str) -> str:
    """Return ``message`` in the language set."""
    return _catalogue.gettext(message)


def N_(message: str) -> str:
    """Mark ``message`` for the catalogue; whoever shows it translates it."""
    return message


class Refused(ValueError):
    """Something given that cannot be used; the text, in the language set, says which, what is wrong with it, and what to do."""
