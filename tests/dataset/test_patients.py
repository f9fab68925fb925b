import pytest

from refvessel.dataset.patients import Origin, PatientPattern
from refvessel.errors import UserError


@pytest.mark.parametrize(
    ("name", "patient", "frame"),
    [
        ("p1_001.png", "p1", 1),
        ("p1-12.png", "p1", 12),
        ("p1_frame12.png", "p1", 12),
        ("p1_IMG_0012.jpeg", "p1", 12),
        ("p1_f3.png", "p1", 3),
        ("a/b/p1_2_003.png", "p1_2", 3),
        ("p1.v2_003.png", "p1.v2", 3),
        ("p1/003.png", "p1", 3),
        ("p1/frame_003.png", "p1", 3),
        ("p1/left.png", "left", None),
        ("p1.png", "p1", None),
        ("0012.png", "0012", None),
        ("Zhang Wei 2_7.png", "Zhang Wei 2", 7),
    ],
)
def test_the_default_pattern_takes_a_frame_number_off_the_stem(name, patient, frame):
    assert PatientPattern(None).origin(name) == Origin(patient, frame, None)


def test_a_pattern_may_name_patient_frame_and_split():
    pattern = PatientPattern(r"^(?P<split>\w+)/(?P<patient>\d+)-(?P<frame>\d+)$")
    assert pattern.origin("test/17-3.png") == Origin("17", 3, "test")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("(?P<patient>", "not a regular expression"), (r"(\d+)", r"no group \(\?P<patient>")],
)
def test_an_unusable_pattern_is_refused(pattern, reason):
    with pytest.raises(UserError, match=reason):
        PatientPattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"^(?P<patient>\d+)_", "finds no patient in 'a/p1_01'"),
        (r"(?P<patient>\d*)", "finds no patient"),
        (r"(?P<patient>p\d+)_(?P<frame>\w+)", "the frame 'x'"),
    ],
)
def test_an_image_that_the_pattern_does_not_describe_is_named(pattern, reason):
    name = "a/p1_x.png" if "frame" in reason else "a/p1_01.png"
    with pytest.raises(UserError, match=f"^{name}: .*{reason}"):
        PatientPattern(pattern).origin(name)
