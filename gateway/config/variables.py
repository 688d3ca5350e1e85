"""`${NAME}`, `${NAME:-default}` and `$${` in the values of the configuration file."""

import re
from collections.abc import Mapping

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# $${ includes only what would be a valid reference; ${ everything up to the brace, so that a mistake can quote it.
_TOKEN = re.compile(rf"\$\$\{{(?:{_NAME}(?::-[^}}\n]*)?\}})?|\$\{{(?:[^}}\n]*\}})?")
_REFERENCE = re.compile(rf"\$\{{({_NAME})(?::-((?:(?!\$\{{)[^}}])*))?\}}")

# The last private use plane: code points without a meaning in YAML or elsewhere.
_PRIVATE = 0x100000
_HIDING = {code: _PRIVATE + code for code in range(0x80)}
_SHOWING = {private: code for code, private in _HIDING.items()}


class Text(str):
    """A text of the file after expansion, with the variables that it contained."""

    __slots__ = ("variables",)
    variables: tuple[str, ...]

    def __new__(cls, value: str, variables: tuple[str, ...] = ()) -> "Text":
        text = super().__new__(cls, value)
        text.variables = variables
        return text

    @property
    def as_written(self) -> str:
        """The text with variables' names instead of their values, which may be shown."""
        return "".join(f"${{{name}}}" for name in self.variables) or str(self)


class VariableError(Exception):
    """A text refers to variables that cannot be replaced; `problems` has the reason for each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def hide_variables(text: str) -> str:
    """The YAML text with every `${...}` replaced by a word that has no meaning in YAML.

    Inside `{name: my-app, api_key: ${MY_APP_KEY}}` YAML would read the braces as a mapping. Each character is
    replaced by one, so that the lines and columns of mistakes stay correct.
    """
    return _TOKEN.sub(lambda token: token[0].translate(_HIDING), text)


def expand(text: str, environ: Mapping[str, str]) -> Text:
    """Replace the variables in a value that YAML read from hidden text.

    This happens after parsing, so the value of a variable cannot change the structure of the file.
    """
    problems: list[str] = []
    variables: list[str] = []

    def value_of(token: re.Match[str]) -> str:
        if token[0].startswith("$${"):
            return token[0][1:]
        reference = _REFERENCE.fullmatch(token[0])
        if reference is None:
            problems.append("after ${ comes a variable's name and }, or :- with a plain default; $${ is a literal ${")
            return ""
        name, default = reference.groups()
        variables.append(name)
        if default is None and name not in environ:
            problems.append(f"the environment variable {name} is not set")
        # As in a shell, an empty variable uses the default too.
        return environ.get(name, "") or default or ""

    expanded = _TOKEN.sub(value_of, text.translate(_SHOWING))
    if problems:
        raise VariableError(tuple(dict.fromkeys(problems)))
    return Text(expanded, tuple(variables))
