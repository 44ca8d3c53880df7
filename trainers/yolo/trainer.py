"""Ultralytics' trainers with our images, learning rates, checkpoints, progress and stops.

Every random number of an epoch follows from the seed and the epoch, and a checkpoint holds
everything that training changes, in full precision: on a CPU a resumed training goes the same way
bit for bit. On a CPU a network can also compute in bfloat16, for which Ultralytics' own autocast
knows CUDA only.
"""

import random
import time
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fracture_core.errors import TrainingError
from fracture_core.models import quiet_ultralytics
from trainers.channels_last import takes_channels_last
from trainers.checkpoints import BEST, LAST, Position, load_state, save_state
from trainers.optimisers import decay_at
from trainers.training_module import generator_at
from trainers.yolo.folder import TRAIN, VALID
from trainers.yolo.images import Images
from trainers.yolo.options import rate_at, read_metrics
from trainers.yolo.plan import Plan, Stopped, told_of_parts

# ---- bfloat16 on a CPU --------------------------------------------------------------------------


def compute_in_bfloat16(network: Any) -> None:
    """Make a network of Ultralytics compute its layers in bfloat16 and return float32, in place.

    Losses and boxes are then computed in float32, because the 8 significant bits of a bfloat16 are
    too few for coordinates of hundreds of pixels. Convolutions get the memory layout in which a CPU
    is fastest, where that is safe.
    """
    if takes_channels_last(network, torch.device("cpu")):
        network.to(memory_format=torch.channels_last)
    forward = network._predict_once

    def predict_once(pixels: Tensor, *given: Any, **named: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return _in_float32(forward(pixels, *given, **named))

    network._predict_once = predict_once


def _in_float32(predictions: Any) -> Any:
    if isinstance(predictions, Tensor):
        return predictions.float() if predictions.is_floating_point() else predictions
    if isinstance(predictions, dict):
        return {name: _in_float32(each) for name, each in predictions.items()}
    if isinstance(predictions, list | tuple):
        return type(predictions)(_in_float32(each) for each in predictions)
    return predictions


# ---- the trainers -------------------------------------------------------------------------------

_engine = quiet_ultralytics.part("ultralytics.engine.trainer")
_detect = quiet_ultralytics.part("ultralytics.models.yolo.detect")
_segment = quiet_ultralytics.part("ultralytics.models.yolo.segment")
_SHOWN_NAMES = 8


class _Ours(_engine.BaseTrainer):  # type: ignore[misc,name-defined]
    """What our trainers of both tasks change in those of Ultralytics."""

    def __init__(self, plan: Plan, options: dict[str, Any]) -> None:
        self._plan = plan
        self._position = Position(parts=plan.config.accumulate)
        self._waiting: list[str] = []
        self._batch = self._pending = 0
        self.accumulate: int = 1
        super().__init__(overrides=options)
        self.model = plan.network

    def get_dataset(self) -> dict[str, Any]:
        folder = self._plan.folder
        return {
            "path": folder.path,
            "train": str(folder.images(TRAIN)),
            "val": str(folder.images(VALID)),
            "names": dict(enumerate(folder.classes)),
            "nc": len(folder.classes),
            "channels": self._plan.network.yaml["channels"],
        }

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        images = Images(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == "train",
            hyp=self.args,
            rect=mode == "val",
            stride=self.stride,
            pad=0.0,
            task=self.args.task,
            data=self.data,
        )
        if mode == "train":
            images.crops = self._plan.config.augment
            self._draw_from(images, epoch=0)
        return images

    def _draw_from(self, images: Images, epoch: int) -> None:
        """Choose which images without an object an epoch goes through."""
        config = self._plan.config
        if config.normals is not None:
            images.draw(config.normals, generator_at(config.seed, epoch))

    def run_callbacks(self, event: str) -> None:
        if event == "on_train_epoch_start":
            self._begin_epoch()
        elif event == "on_train_batch_end":
            self._end_batch()
        elif event == "on_fit_epoch_end":
            self._tell_epoch()

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        self._waiting = list(batch["im_file"])
        prepared: dict[str, Any] = super().preprocess_batch(batch)
        return prepared

    def _build_train_pipeline(self) -> None:
        super()._build_train_pipeline()
        parts = max(1, round(self._plan.config.batch / self.batch_size))
        if parts != self._position.parts:
            self._plan.log.note(told_of_parts(self._plan.config.batch, parts))
        # With `accumulate` Ultralytics carries gradients from one epoch into the next, and a
        # checkpoint between them would lose them. So parts are counted in `optimizer_step`.
        self._position.parts, self.accumulate = parts, 1

    def _setup_scheduler(self) -> None:
        config = self._plan.config
        self.lf = lambda epoch: rate_at(config, epoch)
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lr_lambda=self.lf)

    def _get_warmup_iterations(self, num_batches: int) -> int:
        return self._plan.config.warmup_steps * self._position.parts

    def optimizer_step(self) -> None:
        """Take a step once all parts of a batch have gone through, or the epoch has no more."""
        self._check_loss()
        self._pending += 1
        is_last = self._batch + 1 == len(self.train_loader)
        if self._pending < self._position.parts and not is_last:
            return
        self._pending = 0
        self.scaler.unscale_(self.optimizer)
        if self._plan.config.clip_norm:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self._plan.config.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        self.ema.update(self.model)

    def validate(self) -> tuple[dict[str, float], float]:
        metrics: dict[str, float] = self.validator(self)
        metrics.pop("fitness", None)
        self._metrics = read_metrics(metrics)
        # The second value is Ultralytics' "fitness", by which nothing is decided here.
        return metrics, self._metrics.get(self._plan.config.monitor, 0.0)

    def save_model(self) -> bool:
        """Close the epoch: count it, decide whether it is the best, and write checkpoints."""
        config, position = self._plan.config, self._position
        self._is_best = position.close_epoch(config, self._metrics.get(config.monitor))
        is_out_of_patience = 0 < config.patience <= position.waited
        self.stop = is_out_of_patience or position.epoch >= config.epochs
        position.phase = int(self.stop)
        # BEST first: a run that is killed in between does the epoch and this again.
        for name in (BEST, LAST) if position.keeps_last else (LAST,):
            save_state(self._state(), position, self._plan.checkpoints / name)
        if position.keeps_last:
            self._plan.keep_images(position.best_epoch)
        return True

    def resume_training(self, ckpt: Any) -> None:
        self.stopper = _NeverStops()
        # Here and not earlier: Ultralytics has copied the network for its moving average by now, so
        # that the copy, which validates, stays in float32.
        if self._plan.halves:
            compute_in_bfloat16(self._plan.network)
        if decay := self._plan.config.ema:
            self.ema.decay = partial(decay_at, decay)
        last = self._plan.checkpoints / LAST
        if not last.is_file():
            return
        parts = self._position.parts
        state, self._position = load_state(last)
        # Not the parts of the checkpoint: there are more where memory ran out after it.
        self._position.parts = parts
        self._plan.network.load_state_dict(state["network"])
        self.ema.ema.load_state_dict(state["ema"])
        self.ema.updates = state["updates"]
        for saved, group in zip(
            state["optimiser"]["param_groups"], self.optimizer.param_groups, strict=True
        ):
            saved["fused"] = group.get("fused")
        self.optimizer.load_state_dict(state["optimiser"])
        self.scaler.load_state_dict(state["scaler"])
        self.start_epoch = self._position.epoch
        self._restore_criterion()

    def close(self) -> None:
        """End the processes that read images."""
        for name in ("train_loader", "test_loader"):
            if loader := getattr(self, name, None):
                loader.close()

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Do nothing, as our metrics log has the metrics."""

    def final_eval(self) -> None:
        """Do nothing, as the finished model is evaluated like those of all families."""

    def _handle_nan_recovery(self, epoch: int) -> bool:
        return False

    def _restore_criterion(self) -> None:
        """Restore the weights of end-to-end heads' losses, which depend on the epoch."""
        network = self._plan.network
        network.criterion = network.init_criterion()
        if hasattr(network.criterion, "update"):
            network.criterion.updates = self.start_epoch - 1
            network.criterion.update()

    def _state(self) -> dict[str, Any]:
        return {
            "network": self._plan.network.state_dict(),
            "ema": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimiser": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def _begin_epoch(self) -> None:
        number = generator_at(self._plan.config.seed, self.epoch).initial_seed()
        random.seed(number)
        np.random.seed(number % 2**32)
        torch.manual_seed(number)
        self._draw_from(self.train_loader.dataset, self.epoch)
        self.train_loader.reset()
        self.train_loader.generator.manual_seed(number)
        self._batch = self._pending = 0
        self._began = time.monotonic()

    def _end_batch(self) -> None:
        self._check_loss()
        self._batch += 1
        steps = len(self.train_loader)
        self._plan.log.step({**self._place(), "step": self._batch, "steps": steps})
        if self._plan.stop():
            raise Stopped

    def _tell_epoch(self) -> None:
        config = self._plan.config
        facts: dict[str, object] = dict(self._metrics)
        facts["val_loss"] = facts.pop("loss", None)
        seconds = round(time.monotonic() - self._began, 3)
        line = {**self._place(), **facts, "lr": self.lr["lr/pg0"], "seconds": seconds}
        self._plan.log.epoch({**line, "best": self._is_best})
        if config.monitor not in self._metrics:
            self._plan.log.no_value(config.monitor, self._position.epoch, self._metrics)
        if config.patience and self._position.waited >= config.patience:
            self._plan.log.note(
                f"stopped early: {config.patience} epochs without a better {config.monitor}"
            )
        if not self._position.phase and self._plan.stop():
            raise Stopped

    def _place(self) -> dict[str, object]:
        loss = sum(float(value) for value in self.tloss.values())
        return {"phase": 1, "epoch": self.epoch + 1, "of": self.epochs, "loss": loss}

    def _check_loss(self) -> None:
        if bool(torch.isfinite(self.loss)):
            return
        names = [self._plan.folder.name_of(file) for file in self._waiting]
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        listed = ", ".join(names[:_SHOWN_NAMES]) + more
        raise TrainingError(
            f"epoch {self.epoch + 1}, step {self._batch + 1}",
            expected="a loss that is a number",
            found=f"{float(self.loss.detach())} on the batch of {listed}",
            advice="Look at these images, or lower the learning rate; "
            "the last checkpoint is of before.",
        )


class DetectTrainer(_Ours, _detect.DetectionTrainer):  # type: ignore[misc,name-defined]
    """Trains detectors, which give boxes."""


class SegmentTrainer(_Ours, _segment.SegmentationTrainer):  # type: ignore[misc,name-defined]
    """Trains segmenters, which give boxes and masks."""


class _NeverStops:
    """Replaces Ultralytics' early stopping, which watches its own metric only."""

    possible_stop = False

    def __call__(self, epoch: int, fitness: float) -> bool:
        return False
