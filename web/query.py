"""What a query string asks of a list: a page of it, an order, a choice. Wrong values are told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import attrs
from starlette.datastructures import QueryParams

LIMIT_MAX: Final = 100_000
TEXT_CHARACTERS_MAX: Final = 200

T = TypeVar("T")


class QueryError(Exception):
    """A parameter that means nothing: which one, and what is expected."""


@attrs.frozen(kw_only=True)
class Query:
    """`limit` 0: everything."""

    q: str = ""
    sort: str = ""
    desc: bool = False
    limit: int = 0
    offset: int = 0

    def page(self, rows: Sequence[T]) -> Sequence[T]:
        end = self.offset + self.limit if self.limit else None
        return rows[self.offset : end]

    def about(self, total: int) -> dict[str, object]:
        """What stands before the rows of each list."""
        return {"total": total, "offset": self.offset, "limit": self.limit}

    def has(self, *texts: str) -> bool:
        return not self.q or any(self.q in text.lower() for text in texts)


def read_query(
    given: QueryParams, *, sorts: Sequence[str] = (), limit: int = 0, also: Sequence[str] = ()
) -> Query:
    """`also`: parameters that the list understands beside these. Raises QueryError."""
    known = {"limit", "offset", "q", *also, *(("sort", "desc") if sorts else ())}
    for name in given:
        if name not in known:
            raise QueryError(
                f"there is no parameter {name[:40]!r}: one of {', '.join(sorted(known))}"
            )
    sort = given.get("sort", "")
    if sort and sort not in sorts:
        raise QueryError(f"sort: one of {', '.join(sorts)} is expected")
    return Query(
        q=text_of(given, "q").lower(),
        sort=sort,
        desc=word_of(given, "desc", ("0", "1", "false", "true")) in ("1", "true"),
        limit=number_of(given, "limit", limit, LIMIT_MAX),
        offset=number_of(given, "offset", 0, 10**9),
    )


def text_of(given: QueryParams, name: str) -> str:
    text = given.get(name, "").strip()
    if len(text) > TEXT_CHARACTERS_MAX:
        raise QueryError(f"{name}: at most {TEXT_CHARACTERS_MAX} characters are expected")
    return text


def number_of(given: QueryParams, name: str, otherwise: int, most: int) -> int:
    text = given.get(name, "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) > most:
        raise QueryError(f"{name}: a number from 0 to {most} is expected")
    return int(text)


def word_of(given: QueryParams, name: str, words: Sequence[str]) -> str:
    """One of `words`, or "" where nothing is given."""
    text = given.get(name, "")
    if text and text not in words:
        raise QueryError(f"{name}: one of {', '.join(words)} is expected")
    return text


def words_of(given: QueryParams, name: str, words: Sequence[str]) -> tuple[str, ...]:
    """Several of `words`, with commas between them."""
    chosen = tuple(filter(None, given.get(name, "").split(",")))
    for text in chosen:
        if text not in words:
            raise QueryError(f"{name}: some of {', '.join(words)} are expected")
    return chosen


def ordered(rows: list[T], key: Callable[[T], Any], *, desc: bool) -> list[T]:
    return sorted(rows, key=key, reverse=desc)
