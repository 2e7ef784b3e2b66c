"""A whole city's MQTT connections from a few processes: the load that a controller must carry."""
