"""The formats that can be read, by the names that the configuration and the command line use."""

from refvessel.dataset.readers import labelme, sa2va
from refvessel.dataset.readers.records import Reader

READERS: dict[str, Reader] = {
    "labelme": labelme.read,
    "sa2va": sa2va.read,
}
