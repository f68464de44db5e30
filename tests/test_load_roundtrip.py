"""Whatever pattern is written as text reads back as the same numbers."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphadiffract_plugin.load import histogram_from_arrays, histogram_from_file, write_xye

POINTS = 120
STEPS = arrays(float, POINTS, elements=st.floats(0.001, 1.3))
COUNTS = arrays(float, POINTS, elements=st.floats(0, 1e7), unique=True)
ESDS = arrays(float, POINTS, elements=st.floats(1e-3, 1e4))
FORMS = st.sampled_from(["{} {} {}\n", "{}\t{}\t{}\r\n", "{},{},{}\n", "{}; {}; {}\n", "  {}   {}   {}  \n"])
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pattern(steps, counts, esds):
    two_theta = 22.2 + np.cumsum(steps)  # never above 178.2, and far enough for the wavelength
    return histogram_from_arrays(two_theta, counts, esds, wavelength=1.0)


@given(steps=STEPS, counts=COUNTS, esds=ESDS)
@quick
def test_what_is_written_as_xye_reads_back_bit_for_bit(steps, counts, esds, tmp_path):
    before = pattern(steps, counts, esds)
    after = histogram_from_file(write_xye(before, tmp_path / "a.xye"), wavelength=1.0)
    assert np.array_equal(after.two_theta, before.two_theta)
    assert np.array_equal(after.intensity, before.intensity)
    if after.esd is not None:  # a column of huge esds is taken for a second pattern
        assert np.array_equal(after.esd, before.esd)


@given(
    steps=STEPS, counts=COUNTS, esds=ESDS, form=FORMS, descending=st.booleans(), heading=st.sampled_from(["", "# a\n"])
)
@quick
def test_separators_order_and_comments_change_nothing(steps, counts, esds, form, descending, heading, tmp_path):
    before = pattern(steps, counts, esds)
    lines = [form.format(*row) for row in zip(before.two_theta, before.intensity, before.esd, strict=True)]
    (tmp_path / "a.txt").write_text(heading + "".join(lines[::-1] if descending else lines), newline="")
    after = histogram_from_file(tmp_path / "a.txt", wavelength=1.0)
    assert np.array_equal(after.two_theta, before.two_theta)
    assert np.array_equal(after.intensity, before.intensity)


@given(
    content=st.binary(max_size=400),
    head=st.sampled_from([b"", b"RAW1.01\0", b"PK\x03\x04", b"data_a\n_pd_", b"BANK 1 9 "]),
)
@quick
def test_no_bytes_at_all_raise_anything_but_our_own_errors(content, head, tmp_path):
    from alphadiffract_plugin.errors import AlphaDiffractError

    (tmp_path / "any.dat").write_bytes(head + content)
    try:
        histogram_from_file(tmp_path / "any.dat", wavelength=1.0)
    except AlphaDiffractError as error:
        assert error.fix
