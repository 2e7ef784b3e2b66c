"""The controller: stores protected templates, matches cases, and decides who is asked."""
