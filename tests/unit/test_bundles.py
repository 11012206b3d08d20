"""How samples are divided into bundles."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurozarr.samples.bundles import BUNDLES_PER_CORE, MAX_SECONDS, Bundle, divide

names = st.lists(st.text("abc.-", min_size=1, max_size=4), max_size=60, unique=True)


@given(
    names,
    st.data(),
    st.sampled_from([None, 1, 2, 7]),
    st.sampled_from(["nothing", "verify", "all"]),
)
def test_each_sample_is_in_one_bundle(names, data, cores, redo):
    chosen = data.draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    work = {name: data.draw(st.floats(0.1, 300)) for name in chosen}
    found = divide(names, work, cores=cores, redo=redo)
    members = [
        name for bundle in found for name in names[bundle.start : bundle.stop] if name in work
    ]
    assert members == [name for name in names if name in work]
    assert [Bundle.from_name(bundle.name) for bundle in found] == found
    assert all(bundle.names(names) == names[bundle.start : bundle.stop] for bundle in found)
    total = sum(work.values())
    most = max(math.ceil(total / MAX_SECONDS), (cores or 0) * BUNDLES_PER_CORE)
    assert len(found) <= max(most, 1)
    for bundle in found:
        load = [work[name] for name in names[bundle.start : bundle.stop] if name in work]
        assert sum(load) <= MAX_SECONDS + 2 * max(load)


@pytest.mark.parametrize(("count", "cores", "bundles"), [(200, 2, 4), (200, None, 1), (3, 8, 3)])
def test_there_are_enough_bundles_for_all_cores(count, cores, bundles):
    names = [f"s{number}" for number in range(count)]
    assert len(divide(names, dict.fromkeys(names, 0.1), cores=cores)) == bundles


def test_other_samples_in_the_place_of_a_bundle_are_noticed():
    bundle = Bundle.of(["a", "b", "c"], 1, 3, redo="nothing")
    with pytest.raises(ValueError, match="not those that the run was planned with"):
        bundle.names(["new", "a", "b", "c"])
