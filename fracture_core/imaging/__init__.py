"""Readers of images and DICOM files."""
