"""YOLO detectors and segmenters, trained by Ultralytics' own trainer on any data set of ours."""

from trainers.yolo.fitting import build_checked, fit

__all__ = ["build_checked", "fit"]
