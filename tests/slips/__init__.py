"""Wrong answers to the exercises of each chapter, with what a reader is told about them."""
