"""Tests of `trainers/yolo`."""
