"""The published training loops, rebuilt plainly from their settings, to compare ours with."""
