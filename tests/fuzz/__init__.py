"""Damaged files of every format that is read, thousands of them, each in a process of its own.

`make fuzz` runs them all; see `__main__`. To have another format tried, add a `Format` to
`formats.FORMATS`, or for images and data sets to `image_formats.IMAGE_FORMATS`.
"""
