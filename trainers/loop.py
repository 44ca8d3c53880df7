"""The training loop: one for all families but YOLO, on a CPU, a GPU, several GPUs and machines.

Every random number of a step follows from the seed and the step's place (phase, epoch, step), so a
run that was killed and resumed goes the same way as one that was not: on a CPU, with the same
number of threads, bit for bit. Losses are summed in float64 in the order of the steps, so that the
sums do not depend on how often they are read.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
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
from trainers.config import Phase, TrainConfig
from trainers.metrics_log import MetricsLog
from trainers.optimisers import LearningRate, MovingAverage, build_optimiser
from trainers.packed import Packed, has_finding, rows_of_epoch
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

# ---- losses of an epoch -------------------------------------------------------------------------

_LOOK_SECONDS = 0.5
_MOST_PENDING = 64


class RunningLosses:
    """The losses of an epoch, which stay on the device for a while: reading makes a GPU wait.

    `sums` is the mapping that they are added to in float64, so far of `steps` steps; it belongs to
    the training's position. `names` gives the ids of the images in the rows of a batch.
    """

    def __init__(
        self, sums: dict[str, float], steps: int, names: Callable[[Tensor], Sequence[str]]
    ) -> None:
        self._sums = sums
        self._steps = steps
        self._names = names
        self._pending: list[tuple[int, Tensor, Tensor]] = []
        self._keys: tuple[str, ...] = ()
        self._looked = time.monotonic()

    def add(self, step: int, losses: Losses, rows: Tensor) -> None:
        """Remember the losses of a step, and read those that wait from time to time.

        Raises TrainingError as `look` does, for this step or one before it.
        """
        self._keys = tuple(losses)
        values = torch.stack([value.detach().float() for value in losses.values()])
        self._pending.append((step, values, rows))
        waited = time.monotonic() - self._looked
        if len(self._pending) >= _MOST_PENDING or waited >= _LOOK_SECONDS:
            self.look()

    def look(self) -> None:
        """Add all losses that wait to the sums.

        Raises TrainingError, which names the images of the batch, where one is not finite.
        """
        self._looked = time.monotonic()
        if not self._pending:
            return
        table = torch.stack([values for _, values, _ in self._pending]).cpu().double()
        for (step, _, rows), values in zip(self._pending, table.tolist(), strict=True):
            if not all(math.isfinite(value) for value in values):
                raise self._not_finite(step, values, rows)
            for name, value in zip(self._keys, values, strict=True):
                self._sums[name] = self._sums.get(name, 0.0) + value
            self._steps += 1
        self._pending.clear()

    @property
    def means(self) -> dict[str, float]:
        """The mean of each loss over the steps that were read."""
        return {name: value / max(1, self._steps) for name, value in self._sums.items()}

    def _not_finite(self, step: int, values: list[float], rows: Tensor) -> TrainingError:
        pairs = zip(self._keys, values, strict=True)
        found = ", ".join(f"{name} {value}" for name, value in pairs if not math.isfinite(value))
        names = self._names(rows)
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        return TrainingError(
            f"step {step + 1}",
            expected="a loss that is a number",
            found=f"{found} on the batch of {', '.join(names[:8])}{more}",
            advice="Look at these images, or lower the learning rate; "
            "the last checkpoint is of before.",
        )


# ---- the loop -----------------------------------------------------------------------------------

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
            mixed_precision=_PRECISIONS[config.precision],
            cpu=config.device == "cpu",
            log_with=list(config.trackers) or None,
            project_dir=run.path,
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

        Raises TrainingError where a loss is not finite or memory runs out for good.
        """
        self._start_trackers()
        self._resume(log)
        if self._config.channels_last and not self._channels_last:
            log.note("channels_last is not used: on a CPU it can end this network's process")
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
        module.freeze(self._config.frozen_stages)
        self._wrapped = self._accelerator.prepare_model(module)
        return module

    def _enter_phase(self) -> None:
        phase = self._config.phases[self._position.phase]
        self._module.freeze(phase.frozen_stages)
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

    def _next_phase(self, log: MetricsLog) -> None:
        state, best = load_state(self._run.checkpoints / BEST)
        self._module.load_state_dict(state[MODULE])
        if self._average is not None:
            self._average.restart()
        self._position = replace(
            self._position, phase=self._position.phase + 1, epoch=0, step=0, waited=0
        )
        if self._position.phase < len(self._config.phases):
            if self._config.phases[self._position.phase].monitor != self._config.monitor:
                self._position.best = None
            self._enter_phase()
            log.note(f"second phase, from the best epoch so far ({best.best_epoch})")
        self._save(LAST)

    def _train_epoch(self, phase: Phase, log: MetricsLog) -> bool:
        """Train the rest of an epoch; False = stopped after a step."""
        position = self._position
        if phase.frozen_epochs:
            frozen = phase.frozen_stages if position.epoch < phase.frozen_epochs else 0
            self._module.freeze(frozen)
        self._wrapped.train()
        order = self._order()
        losses = RunningLosses(position.sums, position.step, self._names)
        began = time.monotonic()
        for rows, batch in self._batches(order):
            self._rate.before_step(position.epoch * len(order) + position.step)
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
        batches = self._source.batches(steps, config.augment)
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
                log.no_value(phase.monitor, position.epoch, metrics)
            self._accelerator.log(_numbers(facts), step=position.epochs_done)

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
            "lr": self._optimiser.param_groups[0]["lr"],
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
        if self._accelerator.scaler is not None:
            self._accelerator.scaler.load_state_dict(state["scaler"])

    def _names(self, rows: Tensor) -> list[str]:
        return [self._train.ids[int(row)] for row in rows]

    def _asked_to_stop(self) -> bool:
        """Whether any of the processes was asked to stop."""
        if self._accelerator.num_processes == 1:
            return self._stop()
        flag = torch.tensor(float(self._stop()), device=self._accelerator.device)
        return bool(self._accelerator.reduce(flag, "sum") > 0)

    def _start_trackers(self) -> None:
        if self._config.trackers:
            self._accelerator.init_trackers(self._run.name)


def _is_over(phase: Phase, position: Position) -> bool:
    lost_patience = 0 < phase.patience <= position.waited
    return position.epoch >= phase.epochs or lost_patience


def _numbers(facts: dict[str, object]) -> dict[str, float]:
    return {name: float(value) for name, value in facts.items() if isinstance(value, int | float)}
