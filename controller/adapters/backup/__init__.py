"""Backups: one folder, many backups in it, each a manifest that names its files."""
