"""A simulated line as ordinary drivers: orchard, belt, camera, spectrometers, encoder and PLC, seeded to the bit."""
