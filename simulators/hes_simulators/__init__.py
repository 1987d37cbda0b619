"""Simulated meters: hes_protocol in the server role over trio, load curves, fleets."""
