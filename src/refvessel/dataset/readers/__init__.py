"""One module a format, called like it, each turning annotations into records by its function `read`."""

FORMATS = ("coco", "dicom", "labelme", "masks", "refcoco", "sa2va")
