"""Which raw sample each published row is, and which decisions made its pixels.

Given a published file, known by its MD5, and the raw source, :func:`preprocess.match.run.match` renders
every candidate, finds each row's raw (equal pixels first, the nearest with a margin second), ranks
every alternative of every decision on a sample of the rows found, and starts once more from the
best where that is not the recipe in force. It knows no dataset: candidates are the index, decisions
and their alternatives are the vocabulary of :mod:`preprocess.decisions`.
"""
