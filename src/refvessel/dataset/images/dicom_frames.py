"""DICOM files as images: their headers, and the pixels of each frame as 8-bit PNG.

Pixels become 8-bit: modality and window as the file states them (its first window; without one the whole stored
range or, of more than 12 bits, which no detector fills, the range of the run's own values), MONOCHROME1 inverted,
YBR and palettes as RGB. A subtraction that the file recommends is not applied.
Enhanced objects are read like classic ones: what their functional groups say of a frame is laid over the header.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.pixels.utils import iter_pixels, pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

from refvessel.dataset.images.pixels import encode_png, lost_greys
from refvessel.errors import UserError
from refvessel.files import require_content
from refvessel.rle import MOST_PIXELS

# Else it warns, on the console, of values that break the standard's rules: names of patients among them.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

# Of enhanced objects: where they say what a classic one says in its header.
_FUNCTIONAL_GROUPS = (
    "PixelMeasuresSequence",
    "FrameVOILUTSequence",
    "PixelValueTransformationSequence",
    "XRayGeometrySequence",
    "FramePixelDataPropertiesSequence",
)
_FAR = 1e12  # beyond any window: what it maps to is the window's range
_DETECTOR_BITS = 12  # what is stored in more has another range, which only the values tell
_DARK, _NEARLY_ALL = 1 / 16, 0.99  # values that nearly all lie in so small a part of the range show nothing
_FEW_FRAMES = 1_000  # that a file may lack without being refused as a whole
_MOST_FRAMES = 100_000
_SMALLEST_FRAME = 8  # bytes of one that is compressed: its item's header


def read_header(path: Path) -> pydicom.Dataset:
    """A file's header without its pixels; raises UserError where it does not open as DICOM."""
    with damage_is_a_user_error(f"{path} does not open as DICOM"):
        require_content(path)
        syntax = pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        if syntax == DeflatedExplicitVRLittleEndian:  # a thousandth of what it may fill memory with
            raise UserError(
                f"{path} is deflated as a whole, which is not read; save it in another transfer syntax."
            )
        return pydicom.dcmread(path, stop_before_pixels=True)


def number_of_frames(header: pydicom.Dataset, path: Path) -> int:
    """How many frames a file states, 1 where it does not; raises UserError unless it could hold that many."""
    value = header.get("NumberOfFrames")
    frames = 1 if value in (None, "") else int(value)
    sizes = (header.get(keyword) or 1 for keyword in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated"))
    rows, columns, samples, bits = (int(size) for size in sizes)
    if rows * columns > MOST_PIXELS:
        raise UserError(
            f"{path} states an image of {columns} x {rows} pixels, more than {MOST_PIXELS}; replace the file."
        )
    compressed = (
        header.file_meta.get("TransferSyntaxUID") and header.file_meta.TransferSyntaxUID.is_compressed
    )
    smallest = _SMALLEST_FRAME if compressed else max(rows * columns * samples * bits // 8, 1)
    room = path.stat().st_size // smallest
    if not 1 <= frames <= min(max(room, _FEW_FRAMES), _MOST_FRAMES):
        raise UserError(
            f"{path} states {frames} frames (NumberOfFrames) and has room for {room}; correct or replace it."
        )
    return frames


def header_of_frame(header: pydicom.Dataset, frame: int, path: Path) -> pydicom.Dataset:
    """The header of frame number `frame`, from 1: of enhanced objects, with the groups of all frames and its own.

    Raises UserError where the file describes fewer frames.
    """
    if "PerFrameFunctionalGroupsSequence" not in header:
        return header
    each = header.PerFrameFunctionalGroupsSequence
    if frame > len(each):
        raise UserError(f"{path} describes {len(each)} frames and states more; export it again.")
    flat = pydicom.Dataset()
    flat.update(header)
    for groups in (*header.get("SharedFunctionalGroupsSequence", [])[:1], each[frame - 1]):
        for keyword in _FUNCTIONAL_GROUPS:
            for item in (groups.get(keyword) or [])[:1]:
                flat.update(item)
    return flat


def is_windowed_by_values(header: pydicom.Dataset) -> bool:
    """True where neither the file nor the bits stored say which grey is black and which is white."""
    grey = header.get("PhotometricInterpretation") in ("MONOCHROME1", "MONOCHROME2")
    stated = header.get("VOILUTSequence") or _has_window(header)
    return grey and not stated and (header.get("BitsStored") or 0) > _DETECTOR_BITS


def frame_as_png(path: Path, *, frame: int) -> bytes:
    """An 8-bit PNG of frame number `frame`, from 1; raises UserError where it cannot be decoded or shown."""
    with damage_is_a_user_error(f"{path} frame {frame} cannot be decoded"):
        header = header_of_frame(read_header(path), frame, path)
        eight_bit = _shown(pixel_array(path, index=frame - 1), header, path)
    if eight_bit is None:
        raise UserError(
            f"{path} frame {frame} has pixels of the kind {header.get('PhotometricInterpretation')!r}; save it as "
            "8-bit RGB or as grey."
        )
    return encode_png(Image.fromarray(eight_bit))


@contextmanager
def damage_is_a_user_error(what: str) -> Iterator[None]:
    """A UserError, opening with `what`, for whatever the block raises.

    Damaged files make pydicom and its decoders raise nearly anything; none of it is a bug of ours.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{what} ({reason:.300}); replace the file.") from None


def _shown(pixels: np.ndarray, header: pydicom.Dataset, path: Path) -> np.ndarray | None:
    """Decoded pixels as they are meant to be seen, uint8; None where they are of no known kind."""
    kind = header.get("PhotometricInterpretation")
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        grey = _windowed(np.asarray(apply_modality_lut(pixels, header)), header, path)
        return np.rint(255 - grey if kind == "MONOCHROME1" else grey).astype(np.uint8)
    if kind == "PALETTE COLOR":
        colours = apply_color_lut(pixels, header)
        return np.rint(colours / (257 if colours.dtype == np.uint16 else 1)).astype(np.uint8)
    # RGB, and YBR, which pydicom turns into RGB.
    return pixels if pixels.dtype == np.uint8 and pixels.ndim == 3 else None


def _windowed(values: np.ndarray, header: pydicom.Dataset, path: Path) -> np.ndarray:
    """Values after the modality transformation, as float64 from 0 to 255, by the file's own window or table.

    Raises UserError where the file has neither and its values would turn black.
    """
    values = values.astype(float)
    if header.get("VOILUTSequence"):
        table = header.VOILUTSequence[0]
        shown = _looked_up(values.astype(np.int64), table).astype(float)
        low, high = 0.0, 2.0 ** table.LUTDescriptor[2] - 1
    elif _has_window(header):
        shown = apply_windowing(values, header)
        low, high = apply_windowing(np.array([-_FAR, _FAR]), header)
    elif is_windowed_by_values(header):
        shown = values
        ends = np.array(_range_of_run(path, header.get("PixelPaddingValue")))
        low, darker, brighter, high = sorted(np.asarray(apply_modality_lut(ends, header), float))
        if low == high:
            raise UserError(f"{path} has the value {low:g} everywhere; replace the file.")
        _require_visible(brighter - darker, low, high, path)
    else:
        shown = values
        stored = np.array([0, 2**header.BitsStored - 1])
        if header.PixelRepresentation == 1:
            stored = stored - 2 ** (header.BitsStored - 1)
        low, high = sorted(np.asarray(apply_modality_lut(stored, header), float))
        if header.BitsStored > 8 and np.any(values > low):
            _require_visible(np.quantile(values, _NEARLY_ALL) - low, low, high, path)
    if not (np.isfinite([low, high]).all() and low < high):
        raise UserError(f"{path} states a window from {low:g} to {high:g}; correct it.")
    grey = np.clip((shown - low) / (high - low), 0, 1) * 255
    if (lost := lost_greys(values, np.rint(grey))) is not None:
        raise UserError(f"{path} {lost}; state a window that shows them (WindowCenter, WindowWidth).")
    return grey


def _looked_up(values: np.ndarray, table: pydicom.Dataset) -> np.ndarray:
    """Values, int64, by a lookup table (PS3.3 C.11.2.1.1); before its first and beyond its last they are as these.

    pydicom's own counts the entries of a table in as few bits as their values have.
    """
    number, first = table.LUTDescriptor[0] or 1 << 16, table.LUTDescriptor[1]
    entries = table.LUTData
    if isinstance(entries, bytes):  # of 16 bits, or of 8
        entries = np.frombuffer(entries, "<u2" if len(entries) >= 2 * number else np.uint8)
    return np.asarray(entries)[np.clip(values - first, 0, number - 1)]


def _has_window(header: pydicom.Dataset) -> bool:
    return header.get("WindowCenter") is not None and header.get("WindowWidth") is not None


@lru_cache(maxsize=4)
def _range_of_run(path: Path, padding: int | None) -> np.ndarray:
    """Of all frames of a file, which are shown alike: lowest value, 1st and 99th percentile, highest value."""
    frames = (frame[frame != padding] if padding is not None else frame for frame in iter_pixels(path))
    ends = np.array(
        [np.quantile(frame, (0, 1 - _NEARLY_ALL, _NEARLY_ALL, 1)) for frame in frames if frame.size]
    )
    return np.array([*ends[:, :2].min(axis=0), *ends[:, 2:].max(axis=0)]).astype(int)


def _require_visible(spread: float, low: float, high: float, path: Path) -> None:
    """Refuse values of which nearly all lie in a small part of what would be shown, from `low` to `high`."""
    if spread < _DARK * (high - low):
        raise UserError(
            f"{path} has values that nearly all lie within {spread:g} of a range from {low:g} to {high:g}, so "
            "that nothing would be seen; state a window (WindowCenter, WindowWidth)."
        )
