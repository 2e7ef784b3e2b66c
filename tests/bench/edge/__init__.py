"""What one camera's work costs on one core, and what the same work costs with peers."""
