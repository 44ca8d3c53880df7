"""R5's optimiser and schedule against what the installed Ultralytics' `optimizer=auto` does."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fracture_core.models import quiet_ultralytics
from trainers.checkpoints import Position
from trainers.family_configs import YoloConfig
from trainers.recipes import find_recipe
from trainers.yolo.options import rate_at, trainer_options
from trainers.yolo.trainer import DetectTrainer

_engine = quiet_ultralytics.part("ultralytics.engine.trainer")
BATCHES, EPOCHS, NOMINAL = 23, 10, 4


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)


def config() -> YoloConfig:
    found = find_recipe("r5-yolo-detect-as-published").config("data", {"epochs": EPOCHS})
    assert isinstance(found, YoloConfig)
    return found


def built(trainer: Any, name: str, lr: float, momentum: float, decay: float) -> Any:
    torch.manual_seed(0)
    return _engine.BaseTrainer.build_optimizer(
        trainer, Tiny(), name=name, lr=lr, momentum=momentum, decay=decay, iterations=2850
    )


def theirs() -> tuple[Any, Any]:
    """A trainer of Ultralytics as its defaults have it, and the optimiser that it chooses."""
    args = quiet_ultralytics.part("ultralytics.cfg").get_cfg(overrides={"epochs": EPOCHS})
    trainer = SimpleNamespace(args=args, data={"nc": 7}, epochs=EPOCHS, batch_size=16)
    trainer.optimizer = built(trainer, args.optimizer, args.lr0, args.momentum, args.weight_decay)
    _engine.BaseTrainer._setup_scheduler(trainer)
    return trainer, trainer.optimizer


def ours() -> tuple[Any, Any]:
    options = trainer_options(config(), "detect", on_gpu=True)
    args = quiet_ultralytics.part("ultralytics.cfg").get_cfg(overrides=options)
    trainer = SimpleNamespace(args=args, data={"nc": 7}, epochs=EPOCHS)
    names = ("optimizer", "lr0", "momentum", "weight_decay")
    trainer.optimizer = built(trainer, *(getattr(args, name) for name in names))
    trainer.lf = lambda epoch: rate_at(config(), epoch)
    trainer._plan = SimpleNamespace(config=config())
    trainer._position = Position()
    trainer.train_loader = range(BATCHES)
    return trainer, trainer.optimizer


def states(trainer: Any, warmup: int) -> list[list[tuple[float, ...]]]:
    """Each group's rate, momentum and decay in every batch, by the rule of Ultralytics' loop."""
    found = []
    for done in range(BATCHES * EPOCHS):
        factor = trainer.lf(done // BATCHES)
        row = []
        for group in trainer.optimizer.param_groups:
            rate = group["initial_lr"] * factor
            if done <= warmup:
                is_bias = group.get("param_group") == "bias"
                low = trainer.args.warmup_bias_lr if is_bias else 0.0
                rate = float(np.interp(done, [0, warmup], [low, rate]))
            row.append((rate, *group["betas"], group["weight_decay"]))
        found.append(row)
    return found


def test_every_step_of_ten_epochs_is_as_auto_takes_it() -> None:
    (auto, chosen), (trainer, optimiser) = theirs(), ours()
    assert type(optimiser) is type(chosen) is torch.optim.AdamW
    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
    warmup = _engine.BaseTrainer._get_warmup_iterations(auto, BATCHES)
    assert DetectTrainer._get_warmup_iterations(trainer, BATCHES) == warmup == 69
    # Alike up to the rounding of another order of operations.
    np.testing.assert_allclose(states(trainer, warmup), states(auto, warmup), rtol=1e-13)
    assert optimiser.param_groups[0]["lr"] == 0.000909
    sizes = [
        [sum(each.numel() for each in group["params"]) for group in one.param_groups]
        for one in (optimiser, chosen)
    ]
    assert sizes[0] == sizes[1]


def test_gradients_add_up_to_the_nominal_batch_as_ultralytics_lets_them() -> None:
    trainer, _ = ours()
    warmup = DetectTrainer._get_warmup_iterations(trainer, BATCHES)
    assert trainer.args.nbs // trainer.args.batch == NOMINAL
    for done in range(BATCHES * EPOCHS):
        trainer.epoch, trainer._batch = divmod(done, BATCHES)
        # Ultralytics sets it anew in every batch up to the end of the warm-up, and then leaves it.
        at = min(done, warmup)
        wanted = max(1, int(np.interp(at, [0, warmup], [1, NOMINAL]).round()))
        assert DetectTrainer._parts_of_step(trainer) == wanted


def test_a_batch_in_parts_takes_as_many_more() -> None:
    trainer, _ = ours()
    trainer._position, trainer._batch, trainer.epoch = Position(parts=2), 0, EPOCHS - 1
    trainer.train_loader = range(2 * BATCHES)
    assert DetectTrainer._get_warmup_iterations(trainer, 2 * BATCHES) == 138
    assert DetectTrainer._parts_of_step(trainer) == 2 * NOMINAL


@pytest.mark.parametrize(("epochs", "warmup"), [(6, 0.6), (50, 3.0), (90, 3.0)])
def test_mended_the_warm_up_is_scaled_to_the_runs_length(epochs: int, warmup: float) -> None:
    for name in ("r5-yolo-detect", "r5-yolo-segment"):
        found = find_recipe(name).config("data", {"epochs": epochs})
        assert found.warmup(1000) == round(1000 * warmup)
