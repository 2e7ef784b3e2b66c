"""The records: people, devices, keys, cases, audit, cursors, on SQLAlchemy."""
