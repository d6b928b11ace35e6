"""The package behind the book: data, models, training and teaching, four rooms that do not import each other."""
