from refvessel.provenance import identity_of_tensors

TENSORS = {
    "a": {"dtype": "float32", "shape": [2], "sha256": "1", "source": "trained"},
    "b": {"dtype": "float32", "shape": [3], "sha256": "2", "source": "trained"},
}


def test_the_identity_does_not_depend_on_the_order():
    assert identity_of_tensors(TENSORS, {"x": "1", "y": "2"}) == identity_of_tensors(
        dict(reversed(TENSORS.items())), {"y": "2", "x": "1"}
    )


def test_the_identity_depends_on_every_name_shape_dtype_and_hash():
    changes = [{"dtype": "bfloat16"}, {"shape": [1, 2]}, {"sha256": "3"}]
    variants = [TENSORS | {"a": TENSORS["a"] | change} for change in changes]
    variants += [TENSORS, {"a": TENSORS["a"]}, {"a": TENSORS["b"], "b": TENSORS["a"]}]
    identities = {identity_of_tensors(variant, {}) for variant in variants} | {
        identity_of_tensors(TENSORS, {"config.json": "1"})
    }
    assert len(identities) == len(variants) + 1
