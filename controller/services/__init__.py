"""The controller's verbs, written against interfaces."""
