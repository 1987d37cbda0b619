"""The on-meter agent; imports hes_protocol only. Its turn comes with the MQTT devices."""
