"""Devices of a line, emulated: each speaks its real protocol on this machine, and shows simulated fruit."""
