"""Counts of a passage -> absorbance -> traits, a pitch at a time. No files, no clock, no fitting."""
