"""Corpora, models and batches: everything that stands before a model."""
