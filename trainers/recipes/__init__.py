"""Recipes: named settings of trainings, most of them those of a published system.

R1 … R5 are the five published systems that the README names. Each has two forms: `NAME` is the
default, whose `mended` says where it departs from what was published and what that changes, and
`NAME-as-published` keeps the published values, flaws included, for comparison.
"""

from fracture_core.errors import ConfigError
from trainers.recipes import r1, r2, r3, r4, r5, retinanet
from trainers.recipes.recipe import Recipe, split_name

__all__ = ["RECIPES", "Recipe", "find_recipe"]

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for system in (r1, r2, r3, r4, r5, retinanet) for recipe in system.RECIPES
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a name, with the variants that follow it after "+" signs.

    Raises ConfigError for an unknown recipe or variant.

    Example:
        >>> find_recipe("r3-detr-scratch+queries-50").config("data", {}).network.query_count
        50
    """
    plain, variants = split_name(name)
    if plain not in RECIPES:
        raise ConfigError("recipe", expected=f"one of {', '.join(RECIPES)}", found=repr(plain))
    return RECIPES[plain].varied(variants) if variants else RECIPES[plain]
