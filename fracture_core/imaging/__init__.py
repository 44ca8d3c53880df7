"""Readers of image and DICOM files; `opening.open_image` is the way in."""
