"""Spectrometers that speak the Ocean Binary Protocol: options, framing, talk, features, and the driver made of them."""
