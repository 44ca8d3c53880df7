"""The viewer's JavaScript gives the answers of Python, bit for bit."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page

GOLDEN = Path(__file__).parents[1] / "golden"

FILTER = """async ({cases, base}) => {
    const {above, nms, match, kinds} = await import(`${base}/filter.js`)
    const typed = (part) => ({
        xyxy: new Float32Array(part.xyxy),
        scores: new Float32Array(part.scores),
        labels: new Int32Array(part.labels),
    })
    return cases.map(({candidates, ground_truth: groundTruth, settings}) => {
        const raw = typed(candidates)
        const confident = above(raw, settings.confidence)
        const shown = nms(raw, confident, settings.nms_iou)
        const found = match(raw, shown, typed(groundTruth), {
            matchIou: settings.match_iou, rule: settings.rule, classAware: settings.class_aware})
        return {above: confident.length, shown, ground_truth_of: found.groundTruthOf,
            iou: found.iou, duplicate_of: found.duplicateOf, missed: found.missed,
            kinds: kinds(found)}
    })
}"""

AGREEMENT = """async ({cases, base}) => {
    const {above, nms, match} = await import(`${base}/filter.js`)
    const {agree} = await import(`${base}/agreement.js`)
    const typed = (part) => ({
        xyxy: new Float32Array(part.xyxy),
        scores: new Float32Array(part.scores),
        labels: new Int32Array(part.labels),
    })
    return cases.map(({team, ground_truth: groundTruth, settings}) => {
        const options = {
            matchIou: settings.match_iou, rule: settings.rule, classAware: settings.class_aware}
        const models = team.map((part) => {
            const raw = typed(part)
            const shown = nms(raw, above(raw, settings.confidence), settings.nms_iou)
            const {groundTruthOf} = match(raw, shown, typed(groundTruth), options)
            return {raw, shown, groundTruthOf}
        })
        const {places, foundBy} = agree(models, groundTruth.labels.length, options)
        return {members: places.map((place) => place.members),
            first: places.map((place) => place.first),
            ground_truth: places.map((place) => place.groundTruth), found_by: foundBy}
    })
}"""

LEVELS = """async ({cases, base}) => {
    const {above, nms} = await import(`${base}/filter.js`)
    const {settingsOf} = await import(`${base}/thresholds.js`)
    const {confidenceAt, evidenceFor, fpPerImageAt, sensitivityAt, specificityAt} =
        await import(`${base}/measured.js`)
    const {wilson} = await import(`${base}/intervals.js`)
    const counted = ({count, total}) => [count, total, wilson(count, total)]
    const shown = (parts, state, pane, measured) => {
        const raw = {xyxy: new Float32Array(parts.xyxy), scores: new Float32Array(parts.scores),
            labels: new Int32Array(parts.labels)}
        const settings = settingsOf(state, pane, {measured, opening: {confidence: 0.5}})
        return nms(raw, above(raw, settings.confidence), settings.nms_iou).length
    }
    return cases.map(({measured, asked, candidates, state}) => ({
        sensitivity: asked.confidences.map((at) => counted(sensitivityAt(measured, at))),
        specificity: asked.confidences.map((at) => counted(specificityAt(measured, at))),
        fp_per_image: asked.confidences.map((at) => fpPerImageAt(measured, at)),
        settings: asked.levels.map(([unit, level]) => {
            const found = confidenceAt(measured, unit, level)
            return found && [found.confidence, found.met]
        }),
        evidence: asked.scores.map((score) => {
            const found = evidenceFor(measured, score)
            return found && [found.low, found.right, found.total]
        }),
        shown: [shown(candidates, state, 0, measured), shown(candidates, state, 1, null)],
    }))
}"""

PREDICTIONS = """async ({cases, base}) => {
    const {answerOf} = await import(`${base}/answers.js`)
    return cases.map(({score, sensitive, specific, confidence}) =>
        answerOf(score, {sensitive, specific, confidence}))
}"""

WINDOWS = """async ({cases, base}) => {
    const {shade} = await import(`${base}/windows.js`)
    return cases.map(({window, levels}) => levels.map((level) => shade(window, level)))
}"""

MASKS = """async ({cases, base}) => {
    const {cropOf, outlinesOf, pixelsOf} = await import(`${base}/masks.js`)
    const rowsOf = ({size: [height, width], counts}) => {
        const rows = Array.from({length: height}, () => Array(width).fill("0"))
        const crop = cropOf({size: [height, width], counts})
        crop?.bits.forEach((bit, n) => {
            if (bit) rows[crop.y + Math.floor(n / crop.width)][crop.x + (n % crop.width)] = "1"
        })
        return rows.map((row) => row.join(""))
    }
    // The signed areas of all outlines, holes being negative, make up the mask.
    const areaOf = (corners) => corners.reduce((sum, [x, y], n) => {
        const [u, v] = corners[(n + 1) % corners.length]
        return sum + (x * v - u * y) / 2
    }, 0)
    return cases.map(({rle}) => ({
        rows: rowsOf(rle),
        pixels: pixelsOf(rle),
        enclosed: outlinesOf(rle).reduce((sum, corners) => sum + areaOf(corners), 0),
    }))
}"""


def golden(name: str) -> list[dict]:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture
def ask(page: Page, viewer_address: str):
    """`ask(script, cases)` runs a script with the viewer's modules at hand."""
    page.goto(f"{viewer_address}/_stcore/health")
    base = f"{viewer_address}/workbench/viewer/any"
    return lambda script, cases: page.evaluate(script, {"cases": cases, "base": base})


def test_filter_and_match(ask) -> None:
    cases = golden("filter")
    for case, answer in zip(cases, ask(FILTER, cases), strict=True):
        assert answer == case["expected"]


def test_agreement(ask) -> None:
    cases = golden("agreement")
    for case, answer in zip(cases, ask(AGREEMENT, cases), strict=True):
        assert answer == case["expected"]


def test_levels(ask) -> None:
    cases = golden("levels")
    for case, answer in zip(cases, ask(LEVELS, cases), strict=True):
        assert answer == case["expected"] | {"shown": case["shown"]}


def test_answers(ask) -> None:
    cases = golden("answers")
    for case, answer in zip(cases, ask(PREDICTIONS, cases), strict=True):
        assert answer == case["expected"], case


def test_windows(ask) -> None:
    cases = golden("windows")
    for case, answer in zip(cases, ask(WINDOWS, cases), strict=True):
        assert answer == case["shown"], case["window"]


def test_masks(ask) -> None:
    cases = golden("masks")
    for case, answer in zip(cases, ask(MASKS, cases), strict=True):
        pixels = "".join(case["rows"]).count("1")
        assert answer == {"rows": case["rows"], "pixels": pixels, "enclosed": pixels}
