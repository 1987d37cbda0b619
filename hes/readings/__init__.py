"""What operators and billing ask of the readings: ranges by meter and channel."""
