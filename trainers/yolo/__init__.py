"""YOLO detectors and segmenters, trained by Ultralytics' own trainer on any data set of ours."""

from trainers.yolo.fitting import fit

__all__ = ["fit"]
