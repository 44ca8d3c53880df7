"""What a training wrote into evaluation.json before it ended with stored evaluations.

Metrics alone: the predictions were not kept, so that nothing of it can be shown on Metrics.
"""

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fracture_core.errors import ConfigError, first_fault
from fracture_core.runs import RunFolder


class EarlierEvaluation(BaseModel):
    """`figures` by their names, on the images of the split `evaluated_on` · `operating_points`
    were chosen on the split `chosen_on`; points.json holds them too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    chosen_on: str
    evaluated_on: str
    pictures: int = Field(ge=0)
    figures: dict[str, float]
    operating_points: tuple[dict[str, object], ...]


def read_earlier(run: RunFolder) -> EarlierEvaluation | None:
    """Of a training's folder, None = there is none; raises ConfigError for other text."""
    try:
        return EarlierEvaluation.model_validate_json(run.evaluation.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        expected = "what a training came to"
        raise ConfigError(run.evaluation, expected=expected, found=first_fault(error)) from error


def sentence_of_earlier(found: EarlierEvaluation) -> str:
    """What it came to, and how more can be had."""
    metrics = ", ".join(f"{name} {value:.3f}" for name, value in found.figures.items())
    return (
        f"On {found.pictures:,} images of {found.evaluated_on}: {metrics}. Its predictions were "
        "not kept; a new evaluation shows more."
    )
