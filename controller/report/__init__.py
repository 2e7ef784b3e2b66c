"""The report of a case: JSON for machines, one self-contained HTML file for people."""
