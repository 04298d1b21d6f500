"""Frames to views to whole fruit, from raw Bayer pixels."""
