"""A packed template comes back bit for bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.gallery.packing import pack, unpack


@given(st.lists(st.binary(min_size=192, max_size=192), min_size=1, max_size=5))
def test_packing_loses_nothing(rows: list[bytes]) -> None:
    templates = np.frombuffer(b"".join(rows), np.int8).reshape(-1, 192)
    planes, rest = pack(templates)
    assert planes.nbytes + rest.nbytes == templates.nbytes
    # -128 is no value that quantising makes; it is kept as -127.
    assert np.array_equal(unpack(planes, rest), np.maximum(templates, -127))


@given(st.integers(0, 191), st.integers(-127, 127))
def test_each_component_is_where_it_belongs(place: int, value: int) -> None:
    templates = np.ones((1, 192), np.int8)
    templates[0, place] = value
    assert np.array_equal(unpack(*pack(templates)), templates)
