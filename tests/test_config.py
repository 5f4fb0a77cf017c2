"""Configurations: presets, JSON and back, contradictions."""

import json
from dataclasses import replace

import pytest

from talkhead.config import (
    PRESETS,
    FommConfig,
    McnetConfig,
    MemoryConfig,
    from_dict,
    preset,
    to_dict,
)
from talkhead.errors import TalkheadError


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name):
    text = json.dumps(to_dict(PRESETS[name]))
    assert from_dict(json.loads(text)) == PRESETS[name]


def test_a_memory_or_none_survives_json():
    for memory in (None, MemoryConfig(scales=(0, 1, 2, 3), size=16)):
        config = McnetConfig(memory=memory)
        assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


def test_unknown_setting_is_named():
    values = to_dict(preset("mcnet"))
    values["memory"]["depth"] = 3
    with pytest.raises(TalkheadError, match="MemoryConfig has no setting 'depth'"):
        from_dict(values)


def test_unknown_family_lists_the_known_ones():
    with pytest.raises(TalkheadError, match=r"'dagan'.*codebook, mcnet, fomm, tpsmm"):
        from_dict({"family": "dagan"})


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(TalkheadError, match="mcnet-mcm-nosplit"):
        preset("mcnet2")


def test_memory_on_a_scale_that_does_not_exist_is_refused():
    with pytest.raises(TalkheadError, match="scales"):
        McnetConfig(memory=MemoryConfig(scales=(4,)))
    with pytest.raises(TalkheadError, match="scales"):
        replace(FommConfig(), memory=MemoryConfig())


def test_ablations_differ_from_the_full_model_as_their_names_say():
    full = preset("mcnet")
    assert replace(full, memory=None) == preset("mcnet-baseline")
    assert replace(full, memory=replace(full.memory, identity=False)) == preset("mcnet-mcm")
    unsplit = replace(full.memory, identity=False, split=False)
    assert replace(full, memory=unsplit) == preset("mcnet-mcm-nosplit")
