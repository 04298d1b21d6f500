"""Benchmarks: ratios against peers in one process, each printing what it ran on and how to repeat it."""
