"""Readers of pictures and DICOM files."""
