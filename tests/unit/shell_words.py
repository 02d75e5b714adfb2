"""Just enough of a shell's grammar to list the simple commands of our step scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "fi", "while", "until", "do", "done", "{", "}", "!", "esac"}
)
WRAPPERS: Final = {
    "run": 0,
    "changing": 0,
    "managed": 0,
    "bounded": 0,
    "exec": 0,
    "frame": 1,
    "wait_for": 1,
}


def simple_commands(text: str) -> Iterator[list[str]]:
    """Words of every simple command, here-documents and substitutions included."""
    reader = _Reader(text=text.replace("\\\n", " "))
    reader.read()
    for words in reader.commands:
        yield from _unwrapped(words)


def _unwrapped(words: list[str]) -> Iterator[list[str]]:
    while words:
        first = words[0]
        if first in KEYWORDS or _is_assignment(first):
            words = words[1:]
        elif first in WRAPPERS and len(words) > WRAPPERS[first] + 1:
            words = words[WRAPPERS[first] + 1 :]
        elif first in {"timeout", "env"}:
            own = [first]
            words = words[1:]
            while words and (words[0].startswith("-") or words[0].isdigit() or "=" in words[0]):
                own.append(words[0])
                words = words[1:]
            yield own
        else:
            break
    if words and words[0] not in {"for", "case"}:
        yield words


def _is_assignment(word: str) -> bool:
    name, equals, _ = word.partition("=")
    return bool(equals) and name.replace("_", "a").isalnum() and not name[0].isdigit()


@attrs.define
class _Reader:
    text: str
    at: int = 0
    commands: list[list[str]] = attrs.field(factory=list)
    _words: list[str] = attrs.field(factory=list)
    _word: str | None = None
    _target: bool = False  # the next word is where a redirection goes
    _cases: int = 0

    def read(self, closing: str = "") -> None:
        outer = (self._words, self._word, self._target, self._cases)
        self._words, self._word, self._target, self._cases = [], None, False, 0
        while self.at < len(self.text):
            char = self.text[self.at]
            if closing and char == closing:
                self.at += 1
                break
            self._step(char)
        self._end_command()
        self._words, self._word, self._target, self._cases = outer

    def _step(self, char: str) -> None:
        ahead = self.text[self.at : self.at + 2]
        self.at += 1
        if char in "\n;|&":
            self._separator(ahead)
        elif char in " \t":
            self._end_word()
        elif char == "#" and self._word is None:
            self.at = self._find("\n")
        elif char == "'":
            end = self._find("'")
            self._add(self.text[self.at : end])
            self.at = end + 1
        elif char == '"':
            self._double_quoted()
        elif char == "$" and self.at < len(self.text) and self.text[self.at] in "({":
            self._substitution()
        elif char == "\\":
            self._add(self.text[self.at])
            self.at += 1
        elif char in "<>":
            self._redirection()
        elif ahead == "()":
            self._word = None  # a function's name
            self.at += 1
        elif char == "(":
            self.read(")")
        else:
            self._add(char)

    def _separator(self, ahead: str) -> None:
        self._end_command()
        if ahead == ";;":
            self.at += 1
            self._skip_pattern()

    def _skip_pattern(self) -> None:
        """Behind `in` or `;;` stands a pattern, or the end of the case."""
        while self.text[self.at] in " \t\n":
            self.at += 1
        if self.text.startswith("esac", self.at):
            self._cases -= 1
            return
        quoted = False
        while quoted or self.text[self.at] != ")":
            quoted ^= self.text[self.at] == "'"
            self.at += 1
        self.at += 1

    def _double_quoted(self) -> None:
        self._add("")
        while self.text[self.at] != '"':
            char = self.text[self.at]
            self.at += 1
            if char == "\\":
                self.at += 1
            elif char == "$" and self.text[self.at] in "({":
                self._substitution()
            else:
                self._add(char)
        self.at += 1

    def _substitution(self) -> None:
        if self.text.startswith("((", self.at):
            depth = 0
            while depth or self.text[self.at] == "(":
                depth += {"(": 1, ")": -1}.get(self.text[self.at], 0)
                self.at += 1
            self._add("0")
        elif self.text[self.at] == "(":
            self.at += 1
            self.read(")")
            self._add("$")
        else:
            self.at = self._find("}") + 1
            self._add("$")

    def _redirection(self) -> None:
        if self._word is not None and self._word.isdigit():
            self._word = None
        self._end_word()
        while self.at < len(self.text) and self.text[self.at] in "<>&":
            self.at += 1
        self._target = True

    def _find(self, what: str) -> int:
        found = self.text.find(what, self.at)
        return len(self.text) if found < 0 else found

    def _add(self, text: str) -> None:
        self._word = (self._word or "") + text

    def _end_word(self) -> None:
        if self._word is None:
            return
        word, self._word = self._word, None
        if self._target:
            self._target = False
            return
        self._words.append(word)
        if word == "in" and self._words[0] == "case":
            self._words = []
            self._cases += 1
            self._skip_pattern()

    def _end_command(self) -> None:
        self._end_word()
        self._target = False
        if self._words:
            self.commands.append(self._words)
        self._words = []
