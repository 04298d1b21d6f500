"""What a pixel holds, in our words and in GenICam's."""

PIXEL_FORMAT = {"mono": "Mono8", "RGGB": "BayerRG8", "GRBG": "BayerGR8", "GBRG": "BayerGB8", "BGGR": "BayerBG8", "rgb": "RGB8"}
"""``camera.bayer`` in line.toml -> PixelFormat (GenICam Pixel Format Naming Convention 2.4)."""
CODE = {
    "Mono8": 0x01080001,
    "BayerGR8": 0x01080008,
    "BayerRG8": 0x01080009,
    "BayerGB8": 0x0108000A,
    "BayerBG8": 0x0108000B,
    "RGB8": 0x02180014,
}
"""Their 32-bit values (GenICam Pixel Format Values 1.1)."""
