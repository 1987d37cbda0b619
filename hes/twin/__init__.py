"""Desired and reported state per meter. Its turn comes with the MQTT devices."""
