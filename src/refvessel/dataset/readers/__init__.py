"""One module per format, named after it, each turning annotations into records by its function `read`."""

WITHOUT_PATIENTS = frozenset({"images", "labelme", "sa2va"})  # whose data never say who is on an image
FORMATS = ("coco", "dicom", "images", "labelme", "masks", "refcoco", "refvos", "sa2va")
