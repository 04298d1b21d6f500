"""Tables of spectra from files: one row a sample, one column a wavelength, the other columns what is known of the sample.

In CSV and Parquet the columns whose header is a number are the wavelengths, in nm. An NPZ holds the same, an array a column, or
a matrix (n, p) with its axis (p,) named ``wavelength_nm``, or ``NAME_wl`` for a matrix ``NAME``. JCAMP-DX, ENVI and Unscrambler
ASCII and the text of Ocean Optics spectrometers are read too; a folder of files is one table.
"""

from citrus_grade.spectra_table.errors import SpectraTableError
from citrus_grade.spectra_table.reading import read, read_columns, read_files
from citrus_grade.spectra_table.table import Columns, SpectraTable

__all__ = ["Columns", "SpectraTable", "SpectraTableError", "read", "read_columns", "read_files"]
