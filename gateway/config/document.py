"""The configuration file as a tree of texts, lists and mappings, before its meaning is known.

Every scalar stays a text, and its setting decides how it is read: `api_version: 2023-06-01` is not a date,
`name: on` is not a boolean, and a client key of digits keeps its leading zeros.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

import yaml

from gateway.config.mistakes import WRONG, Mistakes, Wrong, path_to
from gateway.config.variables import Text, VariableError, expand, hide_variables
from gateway.secret import MASK

Tree: TypeAlias = "Text | list[Tree] | dict[Text, Tree] | Wrong | None"

_TAG = "tag:yaml.org,2002:"
_NULL = f"{_TAG}null"
_MERGE = f"{_TAG}merge"
_TAG_NAMES = ("null", "merge", "value", "str", "int", "float", "bool", "timestamp", "seq", "map")
_KNOWN_TAGS = {_TAG + name for name in _TAG_NAMES}
# Some messages of PyYAML quote words of the file; quotes of YAML syntax are short or in angle brackets.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_LONGEST_MARK = len("'---'")
_QUOTING_HELPS = ("alias", "anchor", "tag", "cannot start any token", "mapping values")


def parse(text: str, environ: Mapping[str, str], mistakes: Mistakes) -> Tree:
    """Parse a YAML text, and replace its variables."""
    try:
        loader = yaml.SafeLoader(hide_variables(text))
        node = loader.get_single_node()
        return None if node is None else _TreeBuilder(loader, environ, mistakes).build(node, "")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return mistakes.add("", f"line {line}: a character that YAML does not allow")
    except yaml.MarkedYAMLError as error:
        return mistakes.add("", _syntax_mistake(error))
    except RecursionError:
        return mistakes.add("", "nested too deeply")
    except (ValueError, OverflowError):
        # PyYAML raises Python's own errors for an escape like "\UFFFFFFFF".
        return mistakes.add("", "an escape (\\U...) that is not a valid character")


def _syntax_mistake(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = ", ".join(part for part in (error.context, error.problem) if part)
    advice = "; a value with special characters needs quotes" if any(w in problem for w in _QUOTING_HELPS) else ""
    return where + _QUOTED.sub(_without_words_of_the_file, problem) + advice


def _without_words_of_the_file(quoted: re.Match[str]) -> str:
    return quoted[0] if len(quoted[0]) <= _LONGEST_MARK or quoted[0][1] == "<" else MASK


class _TreeBuilder:
    """Converts PyYAML's nodes into a tree; each node once, however many aliases refer to it."""

    def __init__(self, loader: yaml.SafeLoader, environ: Mapping[str, str], mistakes: Mistakes) -> None:
        self._loader = loader
        self._environ = environ
        self._mistakes = mistakes
        self._built: dict[int, Tree] = {}
        self._open: set[int] = set()

    def build(self, node: yaml.Node, path: str) -> Tree:
        """Convert a node; mistakes are reported under `path`."""
        identity = id(node)
        if identity in self._open:
            return self._mistakes.add(path, "an alias (*) to something that holds the alias itself")
        if identity not in self._built:
            self._open.add(identity)
            self._built[identity] = self._build(node, path)
            self._open.remove(identity)
        return self._built[identity]

    def _build(self, node: yaml.Node, path: str) -> Tree:
        if node.tag not in _KNOWN_TAGS:
            return self._mistakes.add(
                path, "words that begin with ! (YAML tags) mean nothing here; a text needs quotes"
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
        return None if node.tag == _NULL else self._text(node.value, path)

    def _item(self, node: yaml.Node, path: str) -> Tree:
        self._mistakes.lines[path] = node.start_mark.line + 1
        return self.build(node, path)

    def _text(self, value: str, path: str) -> Text | Wrong:
        try:
            text = expand(value, self._environ)
            text.encode()
        except VariableError as error:
            for problem in error.problems:
                self._mistakes.add(path, problem)
            return WRONG
        except UnicodeEncodeError:
            return self._mistakes.add(path, "half of a surrogate pair, which is no text")
        return text

    def _mapping(self, node: yaml.MappingNode, path: str) -> Tree:
        self._report_repeated(node, path)
        self._loader.flatten_mapping(node)  # inserts merged (<<) settings before the mapping's own
        tree: dict[Text, Tree] = {}
        for key, value in node.value:
            name = self.build(key, path)
            if isinstance(name, Text):
                place = path_to(path, name.as_written)
                self._mistakes.lines[place] = key.start_mark.line + 1
                tree[name] = self.build(value, place)
            elif name is not WRONG:
                self._mistakes.add(path, f"line {key.start_mark.line + 1}: expected the name of a setting before the :")
        return tree

    def _report_repeated(self, node: yaml.MappingNode, path: str) -> None:
        """Report duplicate names: PyYAML silently uses the last one, and the rest of a copied block would be lost."""
        lines: dict[Text, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = self.build(key, path) if key.tag != _MERGE else None
            if not isinstance(name, Text):
                continue
            if name in lines:
                where = f"on line {line}" if line == lines[name] else f"on lines {lines[name]} and {line}"
                self._mistakes.add(path_to(path, name.as_written), f"set twice, {where}")
            lines[name] = line
