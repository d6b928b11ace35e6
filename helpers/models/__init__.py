"""Models and parts of models that the chapters build."""
