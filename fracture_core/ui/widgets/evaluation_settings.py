"""What findings are merged and matched by on a page about an evaluation."""

import streamlit as st

from fracture_core.evaluations import About, Evaluation
from fracture_core.matching import MatchConfig
from fracture_core.metrics.studies import STUDY_RULES

NMS_HELP = (
    "Of two boxes of one class that overlap at least this much the better scored stays. It acts "
    "on the model's raw boxes, before anything is counted."
)
MATCH_HELP = (
    "A finding is right where it overlaps a lesion at least this much, the best scored first, one "
    "finding to one lesion. It acts on counting alone."
)


def choose_match_config(evaluation: Evaluation) -> MatchConfig:
    """Two different overlaps under their own names, whether classes count, and studies."""
    about = evaluation.about
    if about.task == "classify":
        return MatchConfig(study_rule=_choose_study_rule(evaluation))
    nms_iou = st.number_input(
        "NMS IoU",
        0.0,
        1.0,
        0.5,
        0.05,
        key="nms",
        bind="query-params",
        persist_state="session",
        disabled=not about.needs_nms,
        help=NMS_HELP if about.needs_nms else "This model proposes each finding once: no NMS.",
    )
    match_iou = st.number_input(
        "Match IoU",
        0.05,
        1.0,
        0.5,
        0.05,
        key="match",
        bind="query-params",
        persist_state="session",
        help=MATCH_HELP,
    )
    class_aware = True
    if len(about.classes) > 1:
        class_aware = st.toggle(
            "Only the same class matches",
            True,
            key="same_class",
            bind="query-params",
            persist_state="session",
            help="Off: a finding may match a lesion of any class. The confusion matrix never asks.",
        )
    return MatchConfig(
        nms_iou=float(nms_iou or 0.0),
        match_iou=float(match_iou or 0.5),
        class_aware=class_aware,
        study_rule=_choose_study_rule(evaluation),
    )


def rule_of(config: MatchConfig, about: About) -> str:
    """How findings are matched, in words."""
    if about.task == "classify":
        return "An image shows a finding where its score is at least the confidence."
    merged = f"merged above an NMS IoU of {config.nms_iou:g}" if about.needs_nms else "not merged"
    same = "of the same class " if config.class_aware and len(about.classes) > 1 else ""
    return (
        f"Findings are {merged}; one is right where its IoU with a ground-truth box {same}is "
        f"≥ {config.match_iou:g}, greedily by score, one to one."
    )


def _choose_study_rule(evaluation: Evaluation) -> str:
    if len(set(evaluation.group_ids)) == len(evaluation):
        return STUDY_RULES[0]
    rule = st.selectbox(
        "Score of a study",
        STUDY_RULES,
        key="study",
        bind="query-params",
        persist_state="session",
        help="How the scores of its images become one: the highest, the noisy-or of all, or the "
        "mean of the three highest.",
    )
    return str(rule)
