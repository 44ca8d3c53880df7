"""YOLO detectors and segmenters, trained by Ultralytics' own trainer on any data set we can open."""

from trainers.yolo.fitting import build_checked, fit

__all__ = ["build_checked", "fit"]
