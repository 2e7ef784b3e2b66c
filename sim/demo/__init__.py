"""The demo: a whole small city of real processes on one machine, checked against ground truth."""
