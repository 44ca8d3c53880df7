"""Dials for a training: those that matter, and all that its family has, in groups."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import streamlit as st
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fracture_core.ui.train.fields import (
    GROUPS,
    Changes,
    choose_network,
    label_of,
    name_of,
    open_of,
    option_of,
)
from fracture_core.ui.widgets.text import literal
from trainers.config import Settings, TrainConfig
from trainers.networks import Network, choices
from trainers.trackers import TRACKERS

BASIC = ("epochs", "batch", "input_size", "lr", "device")
# Set elsewhere on the page, or not for a person to set.
_HIDDEN = frozenset({"recipe", "family", "data", "classes", "start", "second_phase", *BASIC})
_FINE = frozenset({"ema", "norm_eps", "perspective", "warmup_bias_lr", "weight_decay"})
# None as an option could be cleared to nothing.
_LEFT_OPEN = ""
_COLUMNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting by its dotted name, with what the recipe has for it and its widget's key."""

    dotted: str
    key: str
    field: FieldInfo
    now: Any

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The types of its values, None among them where it may be left open."""
        return get_args(self.field.annotation) or (self.field.annotation,)

    @property
    def low(self) -> Any:
        return next((m.ge for m in self.field.metadata if hasattr(m, "ge")), None)

    @property
    def high(self) -> Any:
        bounds = [getattr(m, "le", getattr(m, "lt", None)) for m in self.field.metadata]
        return next((bound for bound in bounds if bound is not None), None)

    @property
    def is_coarse(self) -> bool:
        """Whether a share's steps are twentieths; others are typed, such as 1e-4."""
        fine = self.dotted.rpartition(".")[2] in _FINE
        return not fine and float in self.kinds and (self.low, self.high) == (0, 1)

    @property
    def help(self) -> str:
        return literal(self.field.description or "")

    @property
    def usual(self) -> str:
        """What stands where it is left open."""
        extra = self.field.json_schema_extra
        return open_of(self.dotted, extra["usual"] if isinstance(extra, dict) else None)


def choose_settings(config: TrainConfig) -> Changes:
    """What the reader changed of a recipe's config, by dotted name.

    `config` is the recipe's own; its values are where every dial begins.
    """
    changes = choose_network(config)
    known = settings_of(config)
    for column, name in zip(st.columns(len(BASIC)), BASIC, strict=True):
        with column:
            changes |= _dial(known[name], config)
    with st.expander("All settings"):
        for heading, names in grouped(config).items():
            st.markdown(f"**{heading}**")
            for first in range(0, len(names), _COLUMNS):
                columns = st.columns(_COLUMNS, vertical_alignment="bottom")
                for column, name in zip(columns, names[first:], strict=False):
                    with column:
                        changes |= _dial(known[name], config)
    return changes


def settings_of(config: TrainConfig) -> dict[str, Setting]:
    """All settings of a config by their dotted names, those of sections after each other."""
    return {each.dotted: each for each in _settings(config, "", config.recipe)}


def grouped(config: TrainConfig) -> dict[str, list[str]]:
    """The settings that apply to a config's family, by the headings they stand under."""
    idle = {*_HIDDEN, *config.unused, name_of(config)}
    names = [name for name in settings_of(config) if name not in idle]
    placed = {name for members in GROUPS.values() for name in members}
    groups = {heading: _members(names, of, placed) for heading, of in GROUPS.items()}
    return {heading: members for heading, members in groups.items() if members}


def _settings(group: BaseModel, prefix: str, recipe: str) -> Iterator[Setting]:
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, Settings | Network):
            yield from _settings(value, f"{prefix}{name}.", recipe)
        else:
            dotted = f"{prefix}{name}"
            yield Setting(dotted=dotted, key=f"{recipe}-{dotted}", field=field, now=value)


def _members(names: list[str], of: tuple[str, ...], placed: set[str]) -> list[str]:
    found = []
    for one in of:
        found += [name for name in names if name == one]
        found += [name for name in names if name.startswith(f"{one}.") and name not in placed]
    return found


def _dial(setting: Setting, config: TrainConfig) -> Changes:
    """One setting as the widget that its type asks for; nothing where it stays as it is."""
    options = _options(setting, config)
    if setting.dotted == "trackers":
        return _choose_trackers(setting)
    if setting.field.annotation is bool:
        value: object = st.toggle(
            label_of(setting.dotted), bool(setting.now), key=setting.key, help=setting.help
        )
    elif options:
        value = _choose(setting, options)
    elif int in setting.kinds:
        value = _number(setting, 1, "%d")
    elif setting.is_coarse:
        value = _number(setting, 0.05, "%g")
    else:
        return _type(setting)
    return {setting.dotted: value} if value != setting.now else {}


def _options(setting: Setting, config: TrainConfig) -> tuple[object, ...]:
    if setting.dotted.endswith("monitor"):
        return config.monitors
    known = (True, False) if bool in setting.kinds else choices(setting.field.annotation)
    return (_LEFT_OPEN, *known) if known and type(None) in setting.kinds else known


def _choose_trackers(setting: Setting) -> Changes:
    """None, unless the reader or the recipe asks for one."""
    chosen = st.multiselect(
        label_of(setting.dotted),
        list(TRACKERS),
        default=[name for name in setting.now if name in TRACKERS],
        format_func=lambda name: TRACKERS[name].title,
        key=setting.key,
        help=setting.help,
        placeholder="none",
    )
    return {setting.dotted: chosen} if tuple(chosen) != setting.now else {}


def _choose(setting: Setting, options: tuple[object, ...]) -> object:
    value = st.selectbox(
        label_of(setting.dotted),
        options,
        index=options.index(_LEFT_OPEN if setting.now is None else setting.now),
        format_func=lambda value: setting.usual if value == _LEFT_OPEN else option_of(value),
        key=setting.key,
        help=setting.help,
    )
    return None if value == _LEFT_OPEN else value


def _number(setting: Setting, step: float, form: str) -> object:
    kind = type(step)
    low, high = (None if bound is None else kind(bound) for bound in (setting.low, setting.high))
    return st.number_input(
        label_of(setting.dotted),
        value=None if setting.now is None else kind(setting.now),
        min_value=low,
        max_value=high,
        step=step,
        format=form,
        placeholder=setting.usual,
        key=setting.key,
        help=setting.help,
    )


def _type(setting: Setting) -> Changes:
    """Numbers such as 1e-4, lists and groups, as they stand in a config file."""
    before = _as_text(setting.now)
    open_to_none = type(None) in setting.kinds
    placeholder = setting.usual if open_to_none else None
    text = st.text_input(
        label_of(setting.dotted),
        before,
        key=setting.key,
        help=setting.help,
        placeholder=placeholder,
    )
    if text == before:
        return {}
    if isinstance(setting.now, str):
        return {setting.dotted: text}
    try:
        return {setting.dotted: _parsed(text)}
    except yaml.YAMLError:
        # Refused with the setting's name where the config is made.
        return {setting.dotted: text}


def _as_text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, ensure_ascii=False)


def _parsed(text: str) -> object:
    """YAML takes 1e-4 for a word."""
    try:
        return float(text)
    except ValueError:
        return yaml.safe_load(text) if text.strip() else None
