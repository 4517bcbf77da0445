"""Measurements, as ratios taken side by side in one run. Not part of the tests: figures depend on the machine."""
