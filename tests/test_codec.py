"""Frames in the log are lossless."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.runlog import codec

SIZES = st.integers(2, 70)


@settings(max_examples=60)
@given(SIZES, SIZES, st.integers(0, 2**32 - 1), st.sampled_from((1, 4, 256)))
def test_every_pixel_comes_back_whatever_the_size(height, width, seed, levels):
    mosaic = np.random.default_rng(seed).integers(0, levels, (height, width)).astype(np.uint8)
    back = codec.decode(codec.encode(mosaic), height, width)
    assert back.dtype == np.uint8
    assert np.array_equal(back, mosaic)
    assert not back.flags.writeable


@pytest.mark.parametrize("value", [0, 255])
def test_a_flat_frame_comes_back_small(value):
    mosaic = np.full((768, 1024), value, np.uint8)
    data = codec.encode(mosaic)
    assert len(data) < 2000
    assert np.array_equal(codec.decode(data, 768, 1024), mosaic)


def test_extremes_wrap_and_come_back():
    mosaic = np.tile(np.array([0, 255, 255, 0, 1, 254], np.uint8), (4, 3))
    assert np.array_equal(codec.decode(codec.encode(mosaic), 4, 18), mosaic)


@pytest.mark.parametrize(
    "seen",
    [lambda m: m[::2, 3:], lambda m: m[::-1], lambda m: m[:, ::-1], np.asfortranarray, lambda m: m.T],
    ids=["part", "upside down", "mirrored", "columns first", "turned"],
)
def test_the_order_of_pixels_in_memory_does_not_matter(seen):
    mosaic = seen(np.random.default_rng(1).integers(0, 256, (40, 52), np.uint8))
    back = codec.decode(codec.encode(mosaic), *mosaic.shape)
    assert np.array_equal(back, mosaic)


def test_encoding_leaves_the_frame_alone_and_takes_one_that_cannot_be_written():
    mosaic = np.random.default_rng(2).integers(0, 256, (8, 8), np.uint8)
    before = mosaic.copy()
    mosaic.setflags(write=False)
    codec.encode(mosaic)
    assert np.array_equal(mosaic, before)


def test_the_same_frame_gives_the_same_bytes():
    mosaic = np.random.default_rng(3).integers(0, 256, (64, 64), np.uint8)
    assert codec.encode(mosaic) == codec.encode(mosaic.copy())
