"""The controller's HTTP interface."""
