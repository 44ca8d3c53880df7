"""What is known before a training begins."""

import json
import sys

import pytest

from fracture_core.demo import write_demo
from tests.support.tiny_runs import TINY_DETR
from trainers.checks import fit_machine
from trainers.preflight import preflight
from trainers.recipes import find_recipe


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return write_demo(tmp_path_factory.mktemp("demo") / "set", count=20, size=(160, 128))


def look(demo, **changes):
    return preflight(find_recipe("r3-detr-scratch").config(str(demo), {**TINY_DETR, **changes}))


def test_a_training_that_can_begin_is_measured(demo):
    found = look(demo, epochs=3, batch=4)
    assert found.may_start
    # 16 of 20 images train, in batches of 4, three times.
    assert found.steps == 3 * 4
    assert found.seconds == pytest.approx(found.step_seconds * 12)
    assert found.step_seconds > 0
    assert found.memory_bytes > found.parameters * 4
    assert found.disk_bytes == (16 + 2) * 64**2 + found.parameters * 28


def warnings_of(found):
    return [finding.text for finding in found.findings if finding.level == "warning"]


def test_a_run_that_never_leaves_its_warm_up_is_warned_of(demo):
    short = look(demo, epochs=3, batch=4, warmup_steps=12)
    assert short.may_start
    assert [text for text in warnings_of(short) if "warm-up of 12 steps, as all 3" in text]
    for enough in ({"warmup_steps": 11}, {"warmup_epochs": 3}):
        long = look(demo, epochs=3, batch=4, **enough)
        assert not [text for text in warnings_of(long) if "warm-up" in text]


def test_float16_is_float32_on_a_cpu_and_that_is_said(demo):
    found = look(demo, precision="float16", batch=4)
    assert found.may_start
    assert found.findings[0].level == "warning"
    assert "on the CPU and so in float32" in found.findings[0].text


@pytest.mark.parametrize(
    ("capabilities", "imitates"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "avx2": True}, True),
        ({"architecture": "x86_64", "avx512_bf16": True}, False),
        ({"architecture": "x86_64", "amx_bf16": True}, False),
        # Others name their instructions otherwise.
        ({"architecture": "aarch64"}, False),
    ],
)
def test_bfloat16_that_a_processor_imitates_is_told(demo, monkeypatch, capabilities, imitates):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: capabilities)
    config = find_recipe("r3-detr-scratch").config(str(demo), {"precision": "bfloat16"})
    fitted, told = fit_machine(config)
    assert fitted == config
    assert ("several times as fast" in told) == imitates


def test_multipliers_without_effect_are_told(demo):
    tiny = {"start": "", "network.name": "efficientnet_b0", "input_size": 64, "batch": 4}
    more = {"device": "cpu", "network.hidden_width": 16}
    found = preflight(find_recipe("r4-efficientnet-gate").config(str(demo), {**tiny, **more}))
    assert found.may_start, found.findings
    assert [text for text in warnings_of(found) if "no such class: Comminuted, Trans" in text]


def test_both_phases_count(demo):
    found = look(demo, epochs=2, batch=16, second_phase={"epochs": 3})
    assert found.steps == 5


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"valid_split": "valid"}, "annotated images in the split 'valid'"),
        ({"monitor": "accuracy"}, "monitor: expected one of"),
        ({"start": "no-such-model"}, "no-such-model"),
    ],
)
def test_what_is_wrong_is_a_finding(demo, changes, words):
    found = look(demo, **changes)
    assert not found.may_start
    assert words in found.findings[-1].text


def test_a_data_set_that_is_not_there_is_a_finding(tmp_path):
    found = look(tmp_path / "gone")
    assert [finding.level for finding in found.findings] == ["error"]


def test_yolo_is_measured_too(demo):
    changes = {"start": "", "input_size": 64, "batch": 2, "device": "cpu"}
    named = {**changes, "network.name": "yolo11n-seg.yaml"}
    found = preflight(find_recipe("r5-yolo-segment").config(str(demo), named))
    assert found.may_start, found.findings
    assert found.step_seconds > 0


@pytest.mark.parametrize(
    ("changes", "words"), [({"monitor": "f1"}, "monitor"), ({"augment.blur": 0.5}, "blur")]
)
def test_what_yolo_cannot_do_is_known_before_training(demo, changes, words):
    named = {"start": "", "input_size": 64, "network.name": "yolo11n.yaml", "device": "cpu"}
    found = preflight(find_recipe("r5-yolo-detect").config(str(demo), {**named, **changes}))
    assert not found.may_start
    assert words in found.findings[-1].text


def test_the_command_prints_json(demo, monkeypatch, capsys):
    from trainers.__main__ import main

    sets = [word for name, value in TINY_DETR.items() for word in ("--set", f"{name}={value}")]
    words = ["check", "--recipe", "r3-detr-scratch", "--data", str(demo), *sets, "--json"]
    monkeypatch.setattr(sys, "argv", ["trainers", *words])
    with pytest.raises(SystemExit):
        main()
    assert json.loads(capsys.readouterr().out)["findings"]
