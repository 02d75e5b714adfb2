"""The files that an operator gives beside the flags, read and checked before anything begins."""

from __future__ import annotations

from pathlib import Path

import attrs

from commands.opening import BadInputError
from install_steps.bundle import BundleError, open_bundle
from install_steps.catalog import PLAN, STEPS, Catalog, CatalogError, load_catalog
from install_steps.extras import Extra, ExtraError, load_extras
from install_steps.layout_file import LayoutError, LayoutFile, load_layout
from install_steps.overrides import Override, OverridesError, load_overrides
from install_steps.shelf import Shelf, shelf_of_bundle, shelf_of_folder
from install_steps.texts import StepTextError, script_text
from settings import Settings


@attrs.frozen(kw_only=True)
class Inputs:
    """`extras`: the operator's own steps; `overrides`: what is otherwise on some hosts.

    `shelf`: the catalog's files that are here; `notes`: a warning line for each that should be.
    """

    catalog: Catalog | None = None
    extras: tuple[Extra, ...] = ()
    overrides: tuple[Override, ...] = ()
    layout: LayoutFile = attrs.field(factory=LayoutFile)
    shelf: Shelf = attrs.field(factory=lambda: Shelf({}))
    notes: tuple[str, ...] = ()


def read_inputs(settings: Settings) -> Inputs:
    """All of them. Raises BadInputError, whose text is one line."""
    catalog, shelf, notes = read_packages(settings)
    check_scripts(settings.steps_dir)
    try:
        extras = load_extras(settings.steps_extra, settings.steps_dir)
        steps = frozenset({step.name for step in PLAN} | {extra.name for extra in extras})
        overrides = load_overrides(settings.steps_overrides, steps)
        layout = load_layout(settings.layout)
    except (ExtraError, LayoutError, OverridesError, StepTextError) as error:
        raise BadInputError(str(error)) from None
    for name in settings.steps_skip:
        if name not in steps:
            raise BadInputError(
                f"-steps.skip: there is no step {name!r}: one of {', '.join(sorted(steps))} is "
                "expected"
            )
    return Inputs(
        catalog=catalog,
        extras=extras,
        overrides=overrides,
        layout=layout,
        shelf=shelf,
        notes=notes,
    )


def read_packages(settings: Settings) -> tuple[Catalog | None, Shelf, tuple[str, ...]]:
    """The catalog, the files of it that are here, and a line for each that is not."""
    if settings.packages_bundle is not None:
        try:
            bundle = open_bundle(settings.packages_bundle)
            shelf, wrong = shelf_of_bundle(bundle)
        except (BundleError, OSError) as error:
            raise BadInputError(f"-packages.bundle: {error}") from None
        if wrong:
            raise BadInputError(f"-packages.bundle: {wrong[0]}: copy the bundle again")
        return bundle.catalog, shelf, ()
    catalog = read_catalog(settings.catalog)
    if catalog is None or settings.packages_dir is None:
        return catalog, Shelf({}), ()
    shelf, missing = shelf_of_folder(catalog, settings.packages_dir)
    return catalog, shelf, tuple(f"-packages.dir: {line}" for line in missing)


def read_catalog(path: Path | None) -> Catalog | None:
    if path is None:
        return None
    try:
        return load_catalog(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no UTF-8 text"
        raise BadInputError(f"-catalog: {path}: {reason}") from None
    except CatalogError as error:
        raise BadInputError(f"-catalog: {error}") from None


def check_scripts(folder: Path | None) -> None:
    """A folder of steps that lacks one is found out now, not in the middle of a host."""
    try:
        for name in (*STEPS, "keeper_health", "extra"):
            script_text(name, folder)
    except StepTextError as error:
        raise BadInputError(str(error)) from None
