"""What the notebooks need to teach: environment, plots, shown source, checked exercises."""
