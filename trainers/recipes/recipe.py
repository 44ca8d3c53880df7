"""What a recipe is, and its two forms: mended and as published."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fracture_core.errors import ConfigError
from trainers.config import TrainConfig
from trainers.family_configs import make_config

AS_PUBLISHED = "-as-published"
_JOIN = "+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A named way to train.

    `settings` are those that differ from the defaults of the family's config. `mended` says where
    they depart from what was published, and what that changes. `variants` are further settings that
    the published system tried, by name; `trainers.recipes.find_recipe` joins them with a "+".
    """

    name: str
    summary: str
    settings: dict[str, object]
    mended: str = ""
    variants: Mapping[str, dict[str, object]] = field(default_factory=dict)

    def config(self, data: str, changes: Mapping[str, object]) -> TrainConfig:
        """Return the config for a data set, with changes by dotted or flat name.

        Raises ConfigError for a change that is not valid.

        Example:
            >>> recipe = Recipe(name="mine", summary="", settings={"family": "resnet"})
            >>> recipe.config("data", {"network.width": 32}).network.given()
            {'width': 32}
        """
        values = joined(self.settings, {"recipe": self.name, "data": data, **changes})
        return make_config(values, f"the recipe {self.name}")

    def varied(self, variants: tuple[str, ...]) -> "Recipe":
        """Return the recipe with some of its variants; raise ConfigError for one it has not."""
        settings = self.settings
        for name in variants:
            if name not in self.variants:
                expected = f"a variant of {self.name} ({', '.join(self.variants) or 'it has none'})"
                raise ConfigError("recipe", expected=expected, found=repr(name))
            settings = joined(settings, self.variants[name])
        return replace(self, name=_JOIN.join((self.name, *variants)), settings=settings)


def joined(settings: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Return settings with changes; one of a whole group replaces all earlier ones of the group.

    Example:
        >>> joined({"augment": {"flip": 0.5}, "augment.blur": 1.0}, {"augment": {}})
        {'augment': {}}
    """
    kept = {
        name: value
        for name, value in settings.items()
        if not any(f"{name}.".startswith(f"{change}.") for change in changes)
    }
    return {**kept, **changes}


def split_name(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the recipe and the variants in a name such as "r3-detr-scratch+queries-50"."""
    recipe, *variants = name.split(_JOIN)
    return recipe, tuple(variants)


def two_forms(published: Recipe, changes: dict[str, object], mended: str) -> tuple[Recipe, Recipe]:
    """Return the default form, which is the published one with changes, and the published one."""
    default = replace(published, settings=joined(published.settings, changes), mended=mended)
    letter = replace(
        published,
        name=f"{published.name}{AS_PUBLISHED}",
        summary=f"{published.summary}, as published",
    )
    return default, letter
