"""The package behind the book: data, models, training and teaching, rooms that stand alone."""
