"""The MQTT collector on asyncio: telemetry, twin, provisioning, prepaid and command topics.

Its turn comes with the MQTT devices.
"""
