"""Benchmarks: figures of one run, and their ratios. `python -m bench --help`."""
