from refvessel.report.facts import facts


def test_a_document_becomes_lines_with_dotted_paths():
    document = {"a": {"b": 1, "c": [True, None]}, "d": "text", "e": {}, "f": []}
    assert facts(document) == [
        ("a.b", "1"),
        ("a.c.1", "True"),
        ("a.c.2", "none"),
        ("d", "text"),
        ("e", "none"),
        ("f", "none"),
    ]


def test_a_long_list_is_named_by_its_length():
    assert facts({"tensors": {str(number): number for number in range(41)}}) == [
        ("tensors", "41 entries, listed in the file")
    ]
