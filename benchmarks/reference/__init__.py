"""The published training loops, rebuilt plainly from their settings: what ours are timed beside."""
