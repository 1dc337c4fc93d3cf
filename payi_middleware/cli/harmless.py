"""Names that come from outside, made harmless where they are shown: in a terminal, in a spreadsheet."""

from __future__ import annotations

import unicodedata

__all__ = ["for_spreadsheet", "harmless"]

_HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def harmless(text: str) -> str:
    """The text with everything that steers a terminal or hides in it (controls, direction marks, surrogates) spelt out.

    Markup needs no care here: tables take plain text and never read `[red]`.
    """
    if text.isprintable():
        return text
    return "".join(_spelt(char) if unicodedata.category(char) in _HIDDEN else char for char in text)


def for_spreadsheet(text: str) -> str:
    """The text for a CSV cell: what a spreadsheet would run as a formula begins with an apostrophe.

    The rule is OWASP's on CSV injection; leading spaces of any kind are looked through, since some programs drop them.
    """
    shown = harmless(text)
    return "'" + shown if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA) else shown


def _spelt(char: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\x1b": "\\e"}.get(char) or f"\\u{ord(char):04x}"
