"""The training loop: one for all families but YOLO, on a CPU, a GPU, several GPUs and machines.

Every random number of a step follows from the seed and the step's place (phase, epoch, step), so a
run that was killed and resumed goes the same way as one that was not: on a CPU, with the same
number of threads, bit for bit. Losses are summed in float64 in the order of the steps, so that the
sums do not depend on how often they are read.
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor

from fracture_core.errors import TrainingError
from fracture_core.models.base import Model
from fracture_core.runs import RunFolder
from trainers.best_images import BestImages, first_packed
from trainers.channels_last import takes_channels_last
from trainers.checkpoints import BEST, LAST, MODULE, Position, State, load_state, save_state
from trainers.config import MONITORS, Phase, TrainConfig
from trainers.metrics_log import MetricsLog
from trainers.optimisers import LearningRate, MovingAverage, build_optimiser, learning_rates
from trainers.packed import Packed, has_finding, rows_of_epoch
from trainers.running_losses import RunningLosses
from trainers.sources import Source
from trainers.training_module import (
    Batch,
    Losses,
    TrainingModule,
    generator_at,
    seed_everything,
    shuffled,
)
from trainers.validation import Validator

# Added to a step's place, so that dropout (_GLOBAL) and the choice of an epoch's images (_DRAWN)
# draw other numbers than augmentation.
_GLOBAL = 1
_DRAWN = 2
_PRECISIONS = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}


class Loop:
    """Trains a network on packed images, from its last checkpoint if there is one.

    `stop` is asked after every step. Checkpoints are written to the run's folder after each epoch
    and when the training stops.
    """

    def __init__(
        self,
        config: TrainConfig,
        module: TrainingModule,
        train: Packed,
        valid: Packed,
        run: RunFolder,
        stop: Callable[[], bool],
    ) -> None:
        self._config = config
        self._run = run
        self._stop = stop
        self._accelerator = Accelerator(
            mixed_precision=_PRECISIONS[config.precision], cpu=config.device == "cpu"
        )
        self._train = train
        device = self._accelerator.device
        self._source = Source(train, device, on_device=config.data_on_device)
        self._validator = Validator(config, valid, device)
        self._images = BestImages(run, config, partial(first_packed, valid))
        self._module = self._prepare(module)
        self._position = Position(parts=config.accumulate)
        self._average = MovingAverage(self._module, config.ema) if config.ema else None
        self._found = torch.ones(len(train), dtype=torch.bool)
        if config.normals is not None:
            classifies = module.card.task == "classify"
            self._found = has_finding(train, classifies=classifies)

    def run(self, log: MetricsLog) -> bool:
        """Train to the end (True), or until asked to stop (False).

        Raises TrainingError where a loss is not finite or memory runs out for good, and ConfigError
        where a tracker cannot be started.
        """
        self._resume(log)
        if self._accelerator.is_main_process:
            log.start_trackers()
        if self._config.channels_last and not self._channels_last:
            log.note("channels_last is not used: on a CPU it can end this network's process")
        self._validate_start(log)
        while self._position.phase < len(self._config.phases):
            phase = self._config.phases[self._position.phase]
            while not _is_over(phase, self._position):
                if not self._train_epoch(phase, log):
                    self._save(LAST)
                    log.note(f"stopped in epoch {self._position.epoch + 1}")
                    return False
                self._close_epoch(phase, log)
            self._next_phase(log)
        self._accelerator.end_training()
        return True

    def best(self) -> Model:
        """Return the model of the best checkpoint."""
        state, _ = load_state(self._run.checkpoints / BEST)
        self._module.load_state_dict(state[MODULE])
        return self._module.wrap(copy.deepcopy(self._module.network))

    def _prepare(self, module: TrainingModule) -> TrainingModule:
        device = self._accelerator.device
        module = module.to(device)
        self._channels_last = self._config.channels_last and takes_channels_last(
            module.network, device
        )
        if self._channels_last:
            module.network.to(memory_format=torch.channels_last)
        if self._config.compile:
            module.compile_network()
        # DistributedDataParallel notes which parameters have gradients: stages are frozen before.
        module.freeze(self._config.frozen_stages, self._config.frozen_names)
        self._wrapped = self._accelerator.prepare_model(module)
        return module

    def _enter_phase(self) -> None:
        phase = self._config.phases[self._position.phase]
        self._freeze(phase)
        device = self._accelerator.device
        optimiser = build_optimiser(phase, self._config, self._module, device)
        self._optimiser = self._accelerator.prepare_optimizer(optimiser)
        self._rate = LearningRate(phase, optimiser)

    def _resume(self, log: MetricsLog) -> None:
        last = self._run.checkpoints / LAST
        if not last.is_file():
            log.rewind(phase=1, epoch=1, step=0)
            self._enter_phase()
            return
        state, self._position = load_state(last)
        if self._position.phase < len(self._config.phases):
            self._enter_phase()
            self._load(state)
        log.rewind(
            phase=self._position.phase + 1,
            epoch=self._position.epoch + 1,
            step=self._position.step,
        )
        where = f"epoch {self._position.epoch + 1}, step {self._position.step}"
        log.note(f"resumed in phase {self._position.phase + 1}, {where}")

    def _validate_start(self, log: MetricsLog) -> None:
        """Validate the network before its first step, once a run, and log it as epoch 0.

        It decides nothing: neither is it kept as best, nor does patience count it.
        """
        position = self._position
        is_begun = any((position.phase, position.epoch, position.step))
        if is_begun or log.has_start or not self._config.validate_start:
            return
        began = time.monotonic()
        metrics = self._validate()
        if self._accelerator.is_main_process:
            log.start(self._config.epochs, metrics, time.monotonic() - began)

    def _next_phase(self, log: MetricsLog) -> None:
        state, best = load_state(self._run.checkpoints / BEST)
        self._module.load_state_dict(state[MODULE])
        if self._average is not None:
            self._average.restart()
        self._position = replace(
            self._position, phase=self._position.phase + 1, epoch=0, step=0, waited=0
        )
        if self._position.phase < len(self._config.phases):
            second = self._config.second_phase
            if second and (second.best_anew or second.monitor != self._config.monitor):
                self._position.best = None
            self._enter_phase()
            log.note(f"second phase, from the best epoch so far ({best.best_epoch})")
        self._save(LAST)

    def _train_epoch(self, phase: Phase, log: MetricsLog) -> bool:
        """Train the rest of an epoch; False = stopped after a step."""
        position = self._position
        if phase.frozen_epochs:
            self._freeze(phase)
        self._wrapped.train()
        order = self._order()
        losses = RunningLosses(position.sums, position.step, self._names)
        began = time.monotonic()
        for rows, batch in self._batches(order):
            self._rate.before_step(position.epoch * len(order) + position.step, len(order))
            losses.add(position.step, self._step(batch, phase, log), rows)
            position.step += 1
            if self._accelerator.is_main_process:
                log.step(self._facts(phase, len(order), losses.means))
            if self._asked_to_stop():
                losses.look()
                position.seconds += time.monotonic() - began
                return False
        losses.look()
        position.seconds += time.monotonic() - began
        return True

    def _freeze(self, phase: Phase) -> None:
        """Freeze what is frozen in the epoch under way."""
        if 0 < phase.frozen_epochs <= self._position.epoch:
            self._module.freeze(0)
        else:
            self._module.freeze(phase.frozen_stages, phase.frozen_names)

    def _order(self) -> list[Tensor]:
        """The rows of the packed data set in each step of this epoch."""
        position, config = self._position, self._config
        place = (position.phase, position.epoch)
        drawn = generator_at(config.seed, *place, _DRAWN)
        rows = rows_of_epoch(self._found, config.normals, drawn)
        rows = rows[shuffled(len(rows), config.seed, *place)]
        order = list(torch.split(rows, config.batch))
        # A last batch of one image is left out: batch norm cannot learn from it.
        return order[:-1] if len(order) > 1 and len(order[-1]) == 1 else order

    def _batches(self, order: list[Tensor]) -> Iterator[tuple[Tensor, Batch]]:
        position, config = self._position, self._config
        ranks, rank = self._accelerator.num_processes, self._accelerator.process_index
        first = position.step
        left = order[first:]
        places = [(position.phase, position.epoch, first + n, rank) for n in range(len(left))]
        steps = (
            (rows[rank::ranks].tolist(), generator_at(config.seed, *place))
            for rows, place in zip(left, places, strict=True)
        )
        batches = self._source.batches(steps, config.augment, side_px=config.input_size)
        for rows, place, batch in zip(left, places, batches, strict=True):
            seed_everything(config.seed, *place, _GLOBAL)
            yield rows, batch

    def _step(self, batch: Batch, phase: Phase, log: MetricsLog) -> Losses:
        """Take one optimiser step; where memory runs out, try again in twice as many parts."""
        while True:
            try:
                return self._try_step(batch, phase)
            except torch.OutOfMemoryError as error:
                parts = self._position.parts * 2
                if parts > len(batch) or self._accelerator.num_processes > 1:
                    raise TrainingError(
                        "memory",
                        expected=f"room for a batch of {len(batch)} in {parts // 2} parts",
                        found="none left",
                        advice="Lower batch or input_size.",
                    ) from error
            self._optimiser.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._position.parts = parts
            log.note(f"out of memory: a batch of {len(batch)} now goes in {parts} parts")

    def _try_step(self, batch: Batch, phase: Phase) -> Losses:
        total: Losses = {}
        size = -(-len(batch) // self._position.parts)
        starts = range(0, len(batch), size)
        for start in starts:
            part = batch.part(start, start + size)
            alone = start != starts[-1] and self._accelerator.num_processes > 1
            with self._accelerator.no_sync(self._wrapped) if alone else nullcontext():
                losses: Losses = self._wrapped(part)
                share = len(part) / len(batch)
                self._accelerator.backward(losses["loss"] * share)
            for name, value in losses.items():
                total[name] = total.get(name, 0) + value.detach() * share
        if phase.clip_norm:
            self._accelerator.clip_grad_norm_(self._module.parameters(), phase.clip_norm)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        if self._average is not None:
            self._average.update()
        return total

    def _close_epoch(self, phase: Phase, log: MetricsLog) -> None:
        """Validate, write the checkpoints, and log the epoch."""
        position = self._position
        steps = position.step
        began = time.monotonic()
        metrics = self._validate()
        validated = time.monotonic() - began
        means = {name: value / max(1, steps) for name, value in position.sums.items()}
        facts = self._facts(phase, steps, means)
        facts |= {f"val_{name}": value for name, value in metrics.items()}
        facts |= {"seconds": position.seconds, "validation_seconds": validated}
        count = sum(map(len, self._order()))
        facts["pictures_per_second"] = count / max(position.seconds, 1e-9)
        metric = metrics.get(phase.monitor)
        self._rate.after_epoch(metric)
        improved = position.close_epoch(phase, metric)
        position.step, position.seconds = 0, 0.0
        position.sums = {}
        if position.keeps_last:
            # Before LAST: a run that is killed in between does the epoch and this again.
            self._save(BEST)
            self._keep_images()
        self._save(LAST)
        if self._accelerator.is_main_process:
            log.epoch({**facts, "best": improved})
            if metric is None:
                there = [name for name in metrics if name in MONITORS]
                log.no_value(phase.monitor, position.epoch, there)

    def _validate(self) -> dict[str, float]:
        """Metrics from the first process, sent to all, so that they come to the same decisions."""
        metrics: list[dict[str, float]] = [{}]
        if self._accelerator.is_main_process:
            with nullcontext() if self._average is None else self._average.in_place():
                metrics = [self._validator.metrics(self._module)]
        broadcast_object_list(metrics)
        return metrics[0]

    def _keep_images(self) -> None:
        if self._accelerator.is_main_process:
            with nullcontext() if self._average is None else self._average.in_place():
                model = self._module.wrap(copy.deepcopy(self._module.network))
            self._images.keep(model, self._position.best_epoch)

    def _facts(self, phase: Phase, steps: int, means: dict[str, float]) -> dict[str, object]:
        position = self._position
        return {
            "phase": position.phase + 1,
            "epoch": position.epoch + 1,
            "of": phase.epochs,
            "step": position.step,
            "steps": steps,
            **means,
            **learning_rates(self._optimiser),
        }

    def _save(self, name: str) -> None:
        if not self._accelerator.is_main_process:
            return
        scaler = self._accelerator.scaler
        average = self._average
        # BEST is a model, with the averaged weights; LAST is the state to go on from.
        module = self._module.state_dict()
        if average is not None and name == BEST:
            module = average.averages()
        state = {
            MODULE: module,
            "average": {} if average is None else average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._rate.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else {},
        }
        save_state(state, self._position, self._run.checkpoints / name)

    def _load(self, state: State) -> None:
        self._module.load_state_dict(state[MODULE])
        self._optimiser.load_state_dict(state["optimiser"])
        self._rate.load_state_dict(state["schedule"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        # A run that began on a CPU has no state of it.
        if self._accelerator.scaler is not None and state["scaler"]:
            self._accelerator.scaler.load_state_dict(state["scaler"])

    def _names(self, rows: Tensor) -> list[str]:
        return [self._train.ids[int(row)] for row in rows]

    def _asked_to_stop(self) -> bool:
        """Whether any of the processes was asked to stop."""
        if self._accelerator.num_processes == 1:
            return self._stop()
        flag = torch.tensor(float(self._stop()), device=self._accelerator.device)
        return bool(self._accelerator.reduce(flag, "sum") > 0)


def _is_over(phase: Phase, position: Position) -> bool:
    lost_patience = 0 < phase.patience <= position.waited
    return position.epoch >= phase.epochs or lost_patience
