"""`completion`: what a shell offers after Tab, made from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Final

PROGRAM: Final = "scaleio-scheduler"
SHELLS: Final = ("bash", "zsh", "fish")

Add = Callable[[argparse.ArgumentParser], None]


def words_of(adders: Mapping[str, Add]) -> dict[str, tuple[str, ...]]:
    """Sub-command -> its options and fixed words."""
    found = {}
    for name, add in adders.items():
        parser = argparse.ArgumentParser(prog=name)
        add(parser)
        words: list[str] = []
        for action in parser._actions:  # noqa: SLF001 - argparse tells it nowhere else
            words += [option for option in action.option_strings if option.startswith("--")]
            if not action.option_strings:
                words += [str(choice) for choice in action.choices or ()]
        found[name] = tuple(words)
    return found


def script(shell: str, adders: Mapping[str, Add]) -> str:
    words = words_of(adders)
    match shell:
        case "fish":
            return _fish(words)
        case "zsh":
            return f"autoload -U +X bashcompinit && bashcompinit\n{_bash(words)}"
        case _:
            return _bash(words)


def _bash(words: Mapping[str, tuple[str, ...]]) -> str:
    cases = "\n".join(
        f'\t\t{name}) words="{" ".join(options)}" ;;' for name, options in words.items()
    )
    return f"""_scaleio_scheduler() {{
	local words
	if [ "$COMP_CWORD" -eq 1 ]; then
		words="{" ".join(words)}"
	else
		case "${{COMP_WORDS[1]}}" in
{cases}
		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _scaleio_scheduler {PROGRAM}
"""


def _fish(words: Mapping[str, tuple[str, ...]]) -> str:
    lines = [f"complete -c {PROGRAM} -n __fish_use_subcommand -a '{' '.join(words)}'"]
    for name, options in words.items():
        for option in options:
            where = f"-n '__fish_seen_subcommand_from {name}'"
            told = f"-l {option[2:]}" if option.startswith("--") else f"-a {option}"
            lines.append(f"complete -c {PROGRAM} {where} {told}")
    return "\n".join(lines) + "\n"


def tell(shell: str, adders: Mapping[str, Add]) -> int:
    print(script(shell, adders))
    return 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)
