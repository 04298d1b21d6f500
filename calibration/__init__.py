"""Making calibrations: white and dark references, scale, wavelength, transfer."""
