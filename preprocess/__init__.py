"""Rebuild the MedMNIST v2 datasets from their raw public sources.

One direction: raw files -> index -> split -> shards -> npz -> checks. Each stage is a
command of ``python -m preprocess`` that reads and writes files a person can open.
"""

__version__ = "0.1.0"
