"""The whole chain on a city whose truth is known, and its figures."""
